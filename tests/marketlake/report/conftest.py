import pytest

from . import sample_lake


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake with known facts, see ``sample_lake``; read only."""
    lake = tmp_path_factory.mktemp("sample_lake")
    sample_lake.build(lake)
    return str(lake)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake whose tables have no row."""
    lake = tmp_path_factory.mktemp("empty_lake")
    sample_lake.create_empty(lake)
    return str(lake)
