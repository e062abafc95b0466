"""Pictures of a graph, and of how far a workflow is: `mermaid`, `dot`, and `tree` for terminals.

All three show the same: ids, rules, conditions and, given a state, statuses; never an argument or a result.
Ids are foreign text: each format's own rules of quoting see to it that they stay text, whatever they hold.
A picture has a bound, whatever the graph: what is too large for it is folded, see `folding`.
How a picture is laid out is decided by whoever draws it; why a node stands where it stands, by `explain`.
"""

from dyrygent_core.diagrams.digraphs import dot
from dyrygent_core.diagrams.flowcharts import mermaid
from dyrygent_core.diagrams.trees import Charset, tree

__all__ = ["Charset", "dot", "mermaid", "tree"]
