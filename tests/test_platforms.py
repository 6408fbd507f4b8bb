"""Which systems the package runs on, and what it says on others."""

import subprocess
import sys


def test_on_windows_the_import_says_in_one_sentence_that_it_is_not_for_it() -> None:
    program = "import sys; sys.platform = 'win32'; import mtl_search.internal.memory"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = "ImportError: mtl_search is for Linux and macOS, and does not run on Windows; there it runs in WSL."
    assert done.stderr.splitlines()[-1] == said
