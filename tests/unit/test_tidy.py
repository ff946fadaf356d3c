import pytest

from modules.errors import AccessError, ImgsieveError, LeaseHeldError, StoreAwayError, StoreError, TransientError
from modules.memory_store import MemoryStore
from modules.state.tidy import remove_past_runs
from modules.store_thread import StoreThread
from tests.publishing import put

STATE = "c/out/_state/"
PLAN = f"{STATE}runs/e0002/plan/now.parquet"
PAST = [f"{STATE}runs/e0001/listing/p00000.parquet", f"{STATE}runs/e0001/plan/a.parquet"]
CURRENT = [f"{STATE}runs/e0002/listing/p00000.parquet", PLAN]


def filled(store: MemoryStore) -> None:
    for key in (*PAST, *CURRENT, f"{STATE}runs/e0002/plan/earlier.parquet"):
        put(store, key, b"rows")


def refuse(store: MemoryStore, refused: str, error: ImgsieveError) -> None:
    def on_request(operation: str, key: str) -> None:
        if (operation, key) == ("delete", refused):
            raise error

    store.on_request = on_request


def test_what_finished_epochs_leave_goes(store: MemoryStore, thread: StoreThread) -> None:
    filled(store)
    assert remove_past_runs(thread, STATE, 2, [PLAN]) == 3
    assert sorted(store.blobs) == CURRENT


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            StoreError("the store refused it: 409 BlobImmutableDueToPolicy"),
            "the store refused it: 409 BlobImmutableDueToPolicy",
        ),
        (LeaseHeldError("another job holds it"), f"mem://{PAST[0]} is under a lease of another tool"),
    ],
)
def test_a_file_that_the_store_keeps_ends_nothing(
    store: MemoryStore, thread: StoreThread, error: ImgsieveError, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled(store)
    refuse(store, PAST[0], error)
    assert remove_past_runs(thread, STATE, 2, [PLAN]) == 2
    assert sorted(store.blobs) == [PAST[0], *CURRENT]
    assert [record.getMessage() for record in caplog.records] == [f"not tidied away: {text}"]


@pytest.mark.parametrize("error", [AccessError("no right"), StoreAwayError("silent"), TransientError("503, 8 times")])
def test_what_is_wrong_with_the_store_itself_is_told(
    store: MemoryStore, thread: StoreThread, error: ImgsieveError
) -> None:
    filled(store)
    refuse(store, PAST[0], error)
    with pytest.raises(type(error)):
        remove_past_runs(thread, STATE, 2, [PLAN])
