"""`make fuzz`: every target of the table, one process each, for a share of the time; guided by coverage (atheris), or by a seeded generator where it cannot be had.

A finding does not end a run: it is kept with its input, once for each place in the code, and the table at the end counts all.
"""
import argparse, collections, hashlib, importlib.util, json, os, random, resource, shutil, subprocess, sys, tempfile, time, traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
SECONDS = 5 # Of one input at most


class Findings:
    "What went wrong, once for each place"
    def __init__(self, folder):
        self.folder, self.known, self.executions, self.refused, self.began, self.saved = folder, {}, 0, 0, time.monotonic(), 0.

    def execute(self, target, data, folder):
        from fuzz.targets import check
        began = time.process_time()
        try: self.refused += check(target, data, folder) is not None
        except KeyboardInterrupt: raise
        except BaseException as error: self.add(target, data, error)
        if (spent := time.process_time() - began) > SECONDS: self.add(target, data, AssertionError(f"took {spent:.1f} s for {len(data)} bytes"))
        self.executions += 1
        if time.monotonic() - self.saved > .5: self.save() # libFuzzer ends the process without a word to Python

    def add(self, target, data, error):
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/lrat/" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "the check"
        key = f"{type(error).__name__} at {place}" + (f": {str(error)[:60]}" if isinstance(error, AssertionError) else "")
        if key not in self.known and len(self.known) < 50:
            name = hashlib.sha256(key.encode()).hexdigest()[:8]
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder/f"{name}.input").write_bytes(data)
            (self.folder/f"{name}.txt").write_text(f"{target.name}\n{key}\n\n{''.join(traceback.format_exception(error))[-4000:]}", errors="replace")
        self.known[key] = self.known.get(key, 0) + 1
        self.save()

    def save(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.saved = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        (self.folder/"counts.json").write_text(json.dumps({"executions": self.executions, "refused": self.refused, "seconds": round(time.monotonic() - self.began, 1), "peak_mb": peak, "findings": self.known}))


def fuzz_one(name, seconds, out, engine, seed):
    "Fuzz a target within this process"
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    work = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    os.environ.update(LRAT_CACHE=str(work/"cache"), LRAT_ROOT=str(work), HF_HUB_OFFLINE="1")
    if engine == "atheris":
        import atheris
        with atheris.instrument_imports(include=["lrat"]): target, targets = find(name, work)
    else: target, targets = find(name, work)
    findings, folder = Findings(out), work/"input"
    for data in target.seeds: findings.execute(target, data, folder) # What is imported late costs no input its time
    findings = Findings(out)
    try:
        if engine == "atheris": guided(target, findings, folder, seconds, seed, work)
        else:
            from fuzz.mutate import mutations
            end = time.monotonic() + seconds
            for data in mutations(target.seeds, random.Random(f"{seed} {name}")):
                if time.monotonic() > end: break
                findings.execute(target, data, folder)
    finally:
        findings.save()
        shutil.rmtree(work, ignore_errors=True)


def find(name, work):
    from fuzz.targets import all_targets
    targets = {one.name: one for one in all_targets(work)}
    return targets[name], targets


def guided(target, findings, folder, seconds, seed, work):
    import atheris
    from fuzz.mutate import mutate
    corpus = work/"corpus"
    corpus.mkdir()
    for n, data in enumerate(target.seeds): (corpus/str(n)).write_bytes(data)
    def changed(data, most, number):
        rng = random.Random(number)
        return mutate(bytes(data), rng)[:most] if rng.random() < .7 else atheris.Mutate(data, most)
    longest = max(100_000, 2 * max(map(len, target.seeds)))
    words = [sys.argv[0], str(corpus), f"-max_total_time={max(1, int(seconds))}", f"-seed={seed + 1}", f"-max_len={longest}", "-timeout=60", "-rss_limit_mb=6000", "-verbosity=0", "-print_final_stats=0", f"-artifact_prefix={findings.folder}/"]
    atheris.Setup(words, lambda data: findings.execute(target, data, folder), custom_mutator=changed)
    atheris.Fuzz()


def fuzz_all(minutes, out, engine, seed, names, processes):
    "Fuzz each target in a process of its own; returns 1 where anything was found"
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    from fuzz.targets import all_targets
    with tempfile.TemporaryDirectory() as folder: known = [one.name for one in all_targets(Path(folder))]
    chosen = [name for name in known if not names or any(part in name for part in names)]
    seconds, waiting, running = minutes * 60 * processes / len(chosen), collections.deque(enumerate(chosen)), []
    print(f"{len(chosen)} targets, {seconds:.0f} s each, {engine}", flush=True)
    while waiting or running:
        while waiting and len(running) < processes:
            n, name = waiting.popleft()
            folder = out/f"{n:02}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            words = [sys.executable, __file__, "--one", name, "--seconds", str(seconds), "--out", str(folder), "--engine", engine, "--seed", str(seed)]
            with open(folder/"log.txt", "wb") as log: running.append((name, folder, subprocess.Popen(words, stdout=log, stderr=log), time.monotonic()))
        time.sleep(.2)
        for one in [one for one in running if one[2].poll() is not None or time.monotonic() - one[3] > seconds + 300]:
            running.remove(one)
            report(*one)
    counts = [json.loads(path.read_text()) for path in sorted(out.glob("*/counts.json"))]
    dead = [path.parent.name for path in sorted(out.glob("*/died.txt"))]
    found = sum(len(one["findings"]) for one in counts)
    print(f"{sum(one['executions'] for one in counts):,} executions, {sum(one['refused'] for one in counts):,} refused in one line, {found} findings, {len(dead)} processes that died; details in {out}")
    return int(bool(found or dead))


def report(name, folder, process, began):
    "One line of a finished target"
    late = process.poll() is None
    if late: process.kill()
    code, counts = process.wait(), folder/"counts.json"
    found = json.loads(counts.read_text()) if counts.is_file() else {"executions": 0, "refused": 0, "findings": {}, "peak_mb": 0}
    if late or code: (folder/"died.txt").write_text(f"status {code}{', it did not end' if late else ''}\n")
    print(f"{name:36} {found['executions']:>8,} executions {found['refused']:>8,} refused {found['peak_mb']:>6} MB  {len(found['findings'])} findings{f'; DIED: status {code}' if late or code else ''}", flush=True)
    for key, count in found["findings"].items(): print(f"    {count:>6} x {key}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="parts of names; all without")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--out", type=Path, default=TESTS.parent/"results"/"fuzz")
    parser.add_argument("--engine", choices=["atheris", "seeded"], default="atheris" if importlib.util.find_spec("atheris") else "seeded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--one")
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    if given.one: fuzz_one(given.one, given.seconds, given.out, given.engine, given.seed)
    else: sys.exit(fuzz_all(given.minutes, given.out.resolve(), given.engine, given.seed, given.targets, given.processes))
