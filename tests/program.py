"The program `lrat` in a process of its own, as a user starts it"
import subprocess, sys
from pathlib import Path


def lrat(command, *words, **options):
    "What the process ended with: returncode, stdout and stderr as text"
    return subprocess.run([Path(sys.executable).parent/"lrat", command, *map(str, words)], capture_output=True, text=True, **options)
