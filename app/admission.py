"""Refusing at the door what the model could not take: the sooner, the less of a busy machine it costs."""

from contextlib import ExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Overloaded
from app.metrics import Metrics
from app.pipeline import Pipeline
from app.problems import describe
from app.service import Service

NEED_THE_MODEL = frozenset({"/query", "/query/batch", "/verify", "/embed", "/gallery"})


class Admission:
    """Answers 429 to a form with pictures while the queue is full, before its key or its body is looked at.

    One that is let in has a place until its body is asked for: else all that come while a few look up their keys are
    let in too, and refused late. From then on the client may take its time, and what is decoded has a place.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http" or not _needs_model(scope):
            await self._app(scope, receive, send)
            return
        service: Service = scope["app"].state.service
        pipeline = service.pipeline
        try:
            pipeline.require_room(1)
        except Overloaded as exc:
            scope["state"]["refused"] = scope["path"]
            problem = describe(exc)
            assert problem is not None
            self._metrics.rejected(problem.code)
            await problem.response(scope["state"]["request_id"])(scope, receive, send)
        else:
            await self._let_in(pipeline, scope, receive, send)

    async def _let_in(self, pipeline: Pipeline, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as place:
            place.enter_context(pipeline.coming(1))

            async def receive_body() -> Message:
                place.close()
                return await receive()

            await self._app(scope, receive_body, send)


def _needs_model(scope: Scope) -> bool:
    return (
        scope["method"] == "POST"
        and scope["path"] in NEED_THE_MODEL
        and any(name == b"content-type" and value.startswith(b"multipart/") for name, value in scope["headers"])
    )
