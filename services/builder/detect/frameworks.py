"""The frameworks that are detected, by name. A new one is a file beside this one and a line here.

Where one file is several things at once (a Dash app on a Flask server), the first of them counts.
"""

from services.builder.detect import dash, fastapi, flask, streamlit

DETECTORS = (dash, streamlit, fastapi, flask)
