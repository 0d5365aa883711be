"""Carries a checked push through the platform and holds it until it is decided.

One push of an app is deployed at a time. A newer one supersedes the older: the older is cancelled,
and the newer waits until the older has ended, because it may have gone live at the last moment.
"""

import time
from dataclasses import dataclass, field

from services.git_ingest import store
from services.git_ingest.cancels import publish_cancelled
from services.git_ingest.hooks import Hook
from services.git_ingest.news import News, NewsDesk
from services.git_ingest.refs import Update
from services.git_ingest.repositories import Repositories
from services.git_ingest.settings import GitIngestSettings
from services.git_ingest.sources import Source, SourceStore
from services.git_ingest.store import NewPush, PushState
from shared.database import Database, outbox
from shared.errors import Conflict, Unavailable
from shared.events import new_event
from shared.events.catalogue import AppPushed
from shared.logs import get_logger

logger = get_logger(__name__)

SAY_SECONDS = 5.0
SETTLE_SECONDS = 0.05
"""Lines of progress and the outcome take different ways; the last lines may be a moment later."""


@dataclass(frozen=True)
class Commit:
    """What a commit says of itself: "Name <email>" of its author, and the first line."""

    id: str
    author: str
    message: str


@dataclass
class Voyage:
    """One push on its way."""

    push: NewPush
    update: Update
    commit: Commit
    hook: Hook
    news: News
    begun: float = field(default_factory=time.monotonic)
    spoke: float = field(default_factory=time.monotonic)
    heard: bool = False

    async def say(self, text: str) -> None:
        self.spoke = time.monotonic()
        await self.hook.say(text)

    async def relay(self) -> None:
        """Pass on the lines that came."""
        for line in self.news.take():
            self.heard = True
            await self.say(line)

    async def remind(self, waiting_for: str) -> None:
        """Say that we still wait, if nothing was said for a while."""
        if time.monotonic() - self.spoke >= SAY_SECONDS:
            await self.say(f"still waiting for {waiting_for} ({self.seconds:.0f} s)")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun


class Deploys:
    """Publishes pushes and holds them."""

    def __init__(
        self,
        database: Database,
        desk: NewsDesk,
        sources: SourceStore,
        repositories: Repositories,
        settings: GitIngestSettings,
    ) -> None:
        self._database = database
        self._desk = desk
        self._sources = sources
        self._repositories = repositories
        self._settings = settings
        self._stopping = False

    def stop(self) -> None:
        """Give up every push that is held; its pusher is told."""
        self._stopping = True
        self._desk.wake_all()

    async def carry(
        self, push: NewPush, update: Update, commit: Commit, source: Source, hook: Hook
    ) -> bool:
        """Deploy a push; True when it is live, False when it is not and the pusher knows why.

        Raises an error of ours when it could not even be published.
        """
        async with self._desk.of(push.deploy_id) as news:
            voyage = Voyage(push, update, commit, hook, news)
            await self._begin(voyage)
            await self._sources.put(source)
            await self._await_turn(voyage)
            await self._check_base(voyage)
            await self._publish(voyage)
            return await self._report(voyage, await self._hold(voyage))

    async def _begin(self, voyage: Voyage) -> None:
        async with self._database.transaction() as tx:
            superseded = await store.begin_push(tx, voyage.push)
            for older in superseded:
                await publish_cancelled(tx, older, "superseded")
        for older in superseded:
            await voyage.say(
                f"An older push of {older.app} by {older.pusher} is under way;"
                " this one supersedes it."
            )

    async def _await_turn(self, voyage: Voyage) -> None:
        """Wait until the older pushes have ended: their branch moves no more after that."""
        deploy_id = voyage.push.deploy_id
        while await store.open_before(self._database, deploy_id):
            self._check_wanted(await store.push_state(self._database, deploy_id))
            await voyage.remind("the older push to stop")
            await voyage.news.wait()

    def _check_wanted(self, state: PushState) -> None:
        if self._stopping:
            raise Unavailable(_RESTARTING)
        if state.cancel_reason == "superseded":
            raise Conflict("A newer push supersedes this one, which was not deployed.")
        if state.cancel_reason or state.outcome:
            raise Conflict(f"This push was given up: {state.reason or 'the platform lost it'}.")

    async def _check_base(self, voyage: Voyage) -> None:
        """Refuse a push that git would refuse after the deploy: its branch moved meanwhile."""
        push, update = voyage.push, voyage.update
        tip = await self._repositories.tip(push.app, update.ref)
        repository = await store.repository(self._database, push.app)
        settled = repository and repository.deploy_branch
        if tip != (None if update.creates else update.old) or settled not in (None, push.branch):
            branch = settled or push.branch
            raise Conflict(f"{branch} moved while you were pushing; git pull, then push again.")

    async def _publish(self, voyage: Voyage) -> None:
        push, commit = voyage.push, voyage.commit
        event = AppPushed(
            app=push.app,
            deploy_id=push.deploy_id,
            source=push.source,
            size=push.size,
            commit=commit.id,
            branch=push.branch,
            author=commit.author,
            message=commit.message,
            pusher=push.pusher,
        )
        async with self._database.transaction() as tx:
            published = await store.publish_push(tx, push.deploy_id)
            if published:
                await outbox.record(tx, new_event("git_ingest", event))
        if not published:
            self._check_wanted(await store.push_state(self._database, push.deploy_id))

    async def _hold(self, voyage: Voyage) -> PushState:
        """Relay what is said until the push is decided."""
        give_up_at: float | None = None
        state: PushState | None = None
        while True:
            await voyage.relay()
            if voyage.news.changed:
                state = await self._look(voyage)
            if state and state.outcome:
                return state
            if state and state.cancel_reason and give_up_at is None:
                give_up_at = voyage.seconds + self._settings.superseded_grace
                await voyage.say("A newer push supersedes this one; waiting for it to stop.")
            if why := self._why_give_up(voyage, give_up_at):
                await self._abandon(voyage, why)
                continue
            await voyage.remind("the deploy" if voyage.heard else "the builder to begin")
            await voyage.news.wait()

    async def _look(self, voyage: Voyage) -> PushState | None:
        """The push's row, None while the database is away: a restart of it ends no push."""
        voyage.news.changed = False
        try:
            state = await store.push_state(self._database, voyage.push.deploy_id)
        except Unavailable:
            return None
        if state.outcome:
            await voyage.news.wait(SETTLE_SECONDS)
            await voyage.relay()
        return state

    def _why_give_up(self, voyage: Voyage, give_up_at: float | None) -> str | None:
        if self._stopping:
            return "the platform is being restarted; push again in a minute"
        if give_up_at is not None and voyage.seconds > give_up_at:
            return "a newer push supersedes this one"
        if voyage.seconds > self._settings.push_timeout:
            return f"the platform did not finish within {self._settings.push_timeout:.0f} s"
        return None

    async def _abandon(self, voyage: Voyage, why: str) -> None:
        """Decide that the push is cancelled, unless the outcome came first."""
        deploy_id = voyage.push.deploy_id
        async with self._database.transaction() as tx:
            for cancelled in await store.cancel_push(tx, deploy_id, "disconnected"):
                await publish_cancelled(tx, cancelled, "disconnected")
            await store.decide_push(tx, deploy_id, "cancelled", why)
        voyage.news.wake()

    async def _report(self, voyage: Voyage, state: PushState) -> bool:
        """Say how it ended."""
        app = voyage.push.app
        if state.outcome == "succeeded":
            await self._settle_branch(app, voyage.push.branch)
            await voyage.say(f"{app} is live: {self._settings.public_url.rstrip('/')}/{app}/")
            return True
        if state.cancel_reason == "superseded":
            await voyage.say("A newer push supersedes this one, which was not deployed.")
        else:
            await voyage.say(f"Not deployed: {state.reason or 'the push was given up'}")
        repository = await store.repository(self._database, app)
        if repository and repository.deploy_branch:
            await voyage.say("The version that was running is untouched.")
        return False

    async def _settle_branch(self, app: str, branch: str) -> None:
        """Remember what the app is deployed from. The app is live, so no failure counts here: the
        next push settles it."""
        try:
            await store.settle_deploy_branch(self._database, app, branch)
            if branch != "main":
                await self._repositories.point_head(app, branch)
        except Unavailable as error:
            logger.warning("deploy branch not noted", extra={"app": app, "cause": error.detail})


_RESTARTING = "The platform is being restarted; push again in a minute."
