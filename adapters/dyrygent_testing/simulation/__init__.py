"""A workflow's whole life in virtual time, among faults, and whether all that was promised held.

`simulate` runs it, a `Trace` is what it leaves behind, `check_invariants` judges that.
"""

from dyrygent_testing.simulation.engine import Order
from dyrygent_testing.simulation.faults import Fault, FaultKind, Faults, fault_places, kinds_at
from dyrygent_testing.simulation.invariants import check_invariants, violations_in
from dyrygent_testing.simulation.simulate import Workers, simulate
from dyrygent_testing.simulation.trace import Trace
from dyrygent_testing.simulation.violations import Violation

__all__ = [
    "Fault",
    "FaultKind",
    "Faults",
    "Order",
    "Trace",
    "Violation",
    "Workers",
    "check_invariants",
    "fault_places",
    "kinds_at",
    "simulate",
    "violations_in",
]
