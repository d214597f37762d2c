"Words are stemmed alike by one thread and by many: a server of scripted models stems in a thread for each request."
import sys
from concurrent.futures import ThreadPoolExecutor

from lrat.data.lexicon import stem


def test_threads_do_not_mix_words(monkeypatch):
    words = [f"{a}{b}{c}" for a in ("run", "organis", "relat", "gener", "hop") for b in ("", "n", "ation", "al") for c in ("ing", "ed", "izations", "fulness", "s", "ies")]
    alone = [stem.__wrapped__(word) for word in words]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda _: [stem.__wrapped__(word) for word in words], range(40)): assert found == alone
    finally: sys.setswitchinterval(interval)
