"""What the stages of the work on an environment are called."""

from __future__ import annotations

from envman.system.events import Stage

STAGE_WORDS = {
    Stage.WAITING: "waiting",
    Stage.FETCHING: "fetching",
    Stage.RESOLVING: "resolving",
    Stage.CREATING: "creating",
    Stage.INSTALLING: "installing",
    Stage.BUILDING: "building",
    Stage.COMPILING: "compiling bytecode",
    Stage.CHECKING: "checking",
    Stage.LISTING: "listing files",
    Stage.PACKING: "packing",
    Stage.PUSHING: "pushing",
    Stage.PUBLISHING: "publishing",
    Stage.DONE: "done",
    Stage.FAILED: "failed",
}
