"""How observations, definitions, calls and snapshots are written down: versioned JSON, with an exact round trip.

A reader refuses a version that it does not know (`UnsupportedVersionError`) instead of guessing.
Payloads (arguments, results) are not decided here: they go through the engine's own `ValueCodec`, of which
`JSON_VALUES` is the plain one.
"""

from dyrygent_core.codec.calls import MAX_ARGUMENT_BYTES, MAX_RESULT_BYTES, decode_call, digest, encode_call
from dyrygent_core.codec.definitions import decode_definition, encode_definition
from dyrygent_core.codec.json_text import FORMAT
from dyrygent_core.codec.observations import decode_observation, encode_observation
from dyrygent_core.codec.snapshots import Snapshot, decode_snapshot, encode_snapshot
from dyrygent_core.codec.values import JSON_VALUES, JsonValues

__all__ = [
    "FORMAT",
    "JSON_VALUES",
    "MAX_ARGUMENT_BYTES",
    "MAX_RESULT_BYTES",
    "JsonValues",
    "Snapshot",
    "decode_call",
    "decode_definition",
    "decode_observation",
    "decode_snapshot",
    "digest",
    "encode_call",
    "encode_definition",
    "encode_observation",
    "encode_snapshot",
]
