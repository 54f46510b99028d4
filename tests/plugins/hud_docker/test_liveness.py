"""Who counts as dead: the decision, against a model of owners, engines and clocks; and processes as they really are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hud_docker.liveness import LEASE, Place, Signs, Verdict, claim_of, judge, new_id, place_here
from hud_docker.ownership import BEAT

PLACES = ("a" * 16, "b" * 16)


@dataclass
class ModelOwner:
    id: str
    place: str
    pid: int
    start: int
    since_beat: float = 0.0
    is_alive: bool = True
    accidents: int = 0
    """Since its last heartbeat: clocks that were changed, heartbeats that somebody removed."""
    beats: list[float] = field(default_factory=list)
    summons: list[float] = field(default_factory=list)


class ModelPlace:
    """A machine's processes, as a client on it sees them."""

    def __init__(self, name: str, processes: dict[int, int]) -> None:
        self.id = name
        self._processes = processes

    def lives(self, pid: int, start: int) -> bool:
        return self._processes.get(pid) == start


class Engines(RuleBasedStateMachine):
    """Clients in two places share an engine; some die; clocks jump; heartbeats are removed; everybody sweeps."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 1e9
        self.started = 0
        self.owners: list[ModelOwner] = []
        self.processes: dict[str, dict[int, int]] = {place: {} for place in PLACES}
        self.wronged: list[str] = []

    @rule(place=st.sampled_from(PLACES), pid=st.integers(1, 3))
    def a_client_begins(self, place: str, pid: int) -> None:
        if pid in self.processes[place]:
            return
        self.started += 1
        self.processes[place][pid] = self.started
        name = f"{place}-{pid}-{self.started}-{self.started:012x}"
        self.owners.append(ModelOwner(name, place, pid, self.started, beats=[self.clock]))

    @rule(seconds=st.floats(0, 3 * LEASE))
    def time_passes(self, seconds: float) -> None:
        end = self.clock + seconds
        for owner in self.owners:
            if not owner.is_alive:
                continue
            owner.since_beat += seconds
            if owner.since_beat >= BEAT:
                owner.since_beat %= BEAT
                owner.beats, owner.summons = [end - owner.since_beat], []
                owner.accidents = 0
        self.clock = end

    @rule(seconds=st.sampled_from([-1e6, -LEASE, -1.0, 1.0, LEASE, 1e6]))
    def the_engines_clock_jumps(self, seconds: float) -> None:
        """As when it is set, or when the machine, clients and all, was asleep."""
        self.clock += seconds
        for owner in self.owners:
            owner.accidents += 1

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def a_client_is_killed(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(self.owners))
        if owner.is_alive:
            owner.is_alive = False
            del self.processes[owner.place][owner.pid]  # whose number the next client may get

    @rule()
    def somebody_prunes_volumes(self) -> None:
        for owner in self.owners:
            owner.beats, owner.summons = [], []
            owner.accidents += 1

    @rule(place=st.sampled_from(PLACES), is_local=st.booleans())
    def somebody_sweeps(self, place: str, is_local: bool) -> None:
        self.sweep(ModelPlace(place, self.processes[place]), is_local=is_local)

    def sweep(self, here: ModelPlace, *, is_local: bool) -> None:
        for owner in list(self.owners):
            signs = Signs(beats=tuple(owner.beats), summons=tuple(owner.summons))
            verdict = judge(owner.id, signs, now=self.clock, here=here, is_local=is_local).verdict
            if verdict is Verdict.SILENT:
                owner.summons.append(self.clock)
            if verdict is Verdict.DEAD:
                self.owners.remove(owner)
                if owner.is_alive and owner.accidents < 2:
                    self.wronged.append(owner.id)
            elif is_local and owner.place == here.id:
                assert owner.is_alive, "whoever died on this machine is known to be dead at once"

    @invariant()
    def no_live_owner_was_taken_for_dead(self) -> None:
        assert not self.wronged

    def teardown(self) -> None:
        """Whoever is dead is found out in the end, from anywhere; clocks and pruned volumes only delay it."""
        self.the_engines_clock_jumps(1e8)  # all that a clock has made up lies in the past
        for _ in range(3):
            self.time_passes(LEASE + 1)
            self.sweep(ModelPlace("c" * 16, {}), is_local=True)
        assert all(owner.is_alive for owner in self.owners)
        assert not self.wronged


TestEngines = Engines.TestCase
TestEngines.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


STRANGER = f"{PLACES[0]}-1-1-0123456789ab"


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [
        pytest.param(Signs(beats=(1000.0 - LEASE,)), Verdict.ALIVE, id="the last moment"),
        pytest.param(Signs(beats=(999.0,), summons=(10.0,)), Verdict.ALIVE, id="it has answered"),
        pytest.param(Signs(beats=(500.0,), summons=(10.0,)), Verdict.SILENT, id="it answered then, and is to be asked"),
        pytest.param(Signs(beats=(10.0,), summons=(950.0, 999.0)), Verdict.ASKED, id="it has time to answer"),
        pytest.param(Signs(beats=(10.0,), summons=(500.0, 999.0)), Verdict.DEAD, id="the first question counts"),
        pytest.param(Signs(summons=(500.0,)), Verdict.DEAD, id="no heartbeat at all"),
        pytest.param(Signs(beats=(5000.0,)), Verdict.SILENT, id="the clock was set back: that heartbeat says nothing"),
        pytest.param(Signs(summons=(5000.0,)), Verdict.SILENT, id="the clock was set back: nor does that question"),
    ],
)
def test_elsewhere_heartbeats_decide(signs: Signs, verdict: Verdict) -> None:
    assert judge(STRANGER, signs, now=1000.0, here=None, is_local=True).verdict is verdict


def test_no_process_here_is_no_proof_on_an_engine_elsewhere() -> None:
    """Copies of a virtual machine, each with its own processes, can share an engine: they look like one place."""
    copy = ModelPlace(PLACES[0], {})
    assert judge(STRANGER, Signs(beats=(999.0,)), now=1000.0, here=copy, is_local=False).verdict is Verdict.ALIVE
    assert judge(STRANGER, Signs(beats=(999.0,)), now=1000.0, here=copy, is_local=True).verdict is Verdict.DEAD


# --- real processes ---------------------------------------------------------------------------------------------------

START = "import sys, time; sys.stdout.write('up'); sys.stdout.flush(); time.sleep(60)"
SAY_ID = "from hud_docker.liveness import new_id, place_here; print(new_id()); print(place_here())"


@pytest.fixture
def here() -> Place:
    place = place_here()
    assert place is not None
    return place


def test_an_owners_id_says_where_it_lives(here: Place) -> None:
    claim = claim_of(new_id())
    assert claim is not None
    assert (claim.place, claim.pid) == (here.id, os.getpid())
    assert here.lives(claim.pid, claim.start)


@pytest.mark.parametrize("owner", ["", "me", "../../etc", "a" * 16 + "-1-1", "x" * 16 + "-1-1-0123456789ab"])
def test_what_is_no_id_of_ours_is_never_dead(owner: str, here: Place) -> None:
    assert judge(owner, Signs(), now=0.0, here=here, is_local=True).verdict is Verdict.ALIVE


def test_a_process_that_took_over_a_pid_is_not_the_owner(here: Place) -> None:
    claim = claim_of(new_id())
    assert claim is not None
    assert here.lives(claim.pid, claim.start - 1) is False


def test_a_killed_process_is_dead_before_its_parent_notices(here: Place) -> None:
    with subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(2)
        start = int(_stat(process.pid)[19])
        assert here.lives(process.pid, start)
        process.send_signal(signal.SIGKILL)
        while _stat(process.pid)[0] != "Z":
            pass
        assert here.lives(process.pid, start) is False
    assert here.lives(process.pid, start) is False


def test_processes_of_other_users_are_seen(here: Place) -> None:
    other = "import os; os.setuid(65534)" if os.getuid() == 0 else ""
    code = f"from hud_docker.liveness import Place\n{other}\nprint(Place('x').lives({os.getpid()}, {_start()}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes pid namespaces everywhere")
@pytest.mark.parametrize("proc", [[], ["--mount-proc"]])
def test_another_pid_namespace_is_another_place(here: Place, proc: list[str]) -> None:
    inside = ["unshare", "--pid", "--fork", *proc, sys.executable, "-c", SAY_ID]
    owner, place = subprocess.run(inside, capture_output=True, text=True, check=True).stdout.splitlines()
    assert (place == "None") == (not proc)  # there it would see our processes under its own numbers
    judged = judge(owner, Signs(beats=(0.0,)), now=1.0, here=here, is_local=True)
    assert judged.verdict is Verdict.ALIVE, "its process is not here, which says nothing; its heartbeat does"


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _start() -> int:
    claim = claim_of(new_id())
    assert claim is not None
    return claim.start
