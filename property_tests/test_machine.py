"""The state machine of the toolkit, over arbitrary graphs."""

from __future__ import annotations

from hypothesis import settings

from dyrygent_testing import CoreMachine

TestCore = CoreMachine.TestCase
TestCore.settings = settings(max_examples=max(20, settings().max_examples // 2), stateful_step_count=30)
