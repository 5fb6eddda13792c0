"""Has ``python tools/predict.py`` do what ``python -m tools.predict`` does.

Where a program is started by its path, Python looks for modules in its folder, and so finds this file in
place of the package of the same name. It gives way to the package.
"""

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
del sys.modules[__name__]
importlib.import_module(__name__)
