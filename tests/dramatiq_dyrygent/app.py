"""What the workers of the tests import: a broker and its actors, as the environment says (`deployments`)."""

from __future__ import annotations

import json
import os

import dramatiq

from tests.dramatiq_dyrygent.actors import declare
from tests.dramatiq_dyrygent.brokers import Place, broker_of

PLACE = Place(**json.loads(os.environ["DYRYGENT_TEST_APP_PLACE"]))

broker = broker_of(PLACE)
dramatiq.set_broker(broker)
declare(broker, PLACE.queue)
