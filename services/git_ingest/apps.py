"""Apps as git_ingest knows them: found, or created by the first push to a free name."""

from services.git_ingest import store
from services.git_ingest.access import check_may
from services.git_ingest.repositories import Repositories
from services.git_ingest.store import Repository
from shared.bus import Bus
from shared.database import Database
from shared.errors import Forbidden, NotFound, Unavailable
from shared.identity import Caller
from shared.logs import get_logger
from shared.names import check_app_name

logger = get_logger(__name__)

CREATE_SECONDS = 5.0


class Apps:
    """Leads a caller to an app's repository, or says in one sentence why not."""

    def __init__(self, database: Database, bus: Bus, repositories: Repositories) -> None:
        self._database = database
        self._bus = bus
        self._repositories = repositories

    async def open_for_push(self, app: str, caller: Caller, may_create: bool) -> Repository:
        """The app's repository; when there is no such app and `may_create`, it is created."""
        found = await store.repository(self._database, check_app_name(app))
        if found is None:
            if not may_create:
                raise NotFound(f"There is no app {app}; push again to create it.")
            found = await self._create(app, caller)
        check_may(caller, found, "push to")
        await self._repositories.ensure(app)
        return found

    async def open_for_clone(self, app: str, caller: Caller) -> Repository:
        found = await store.repository(self._database, check_app_name(app))
        if found is None:
            raise NotFound(f"There is no app {app}; a push to this address creates it.")
        check_may(caller, found, "clone")
        await self._repositories.ensure(app)
        return found

    async def _create(self, app: str, caller: Caller) -> Repository:
        if not caller.may_create_apps:
            raise Forbidden(
                f"There is no app {app}, and {caller.user} may not create apps;"
                " ask an administrator for the role developer."
            )
        try:
            answer = await self._bus.request(
                "portal.create-app", {"name": app, "owner": caller.user}, timeout=CREATE_SECONDS
            )
        except Unavailable as error:
            logger.warning("app not created", extra={"app": app, "cause": error.detail})
            raise Unavailable(
                "The platform cannot create apps at the moment; existing apps can be pushed;"
                " try again in a minute.",
                retry_after=60,
            ) from error
        await store.add_repository(self._database, app, answer["owner"], None)
        found = await store.repository(self._database, app)
        if found is None:
            raise NotFound(f"The app {app} was deleted just now; push again to create it.")
        return found
