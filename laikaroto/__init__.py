"""laikaroto: a first pass of roto for stop-motion puppets, learned overnight from a few shots.

The folders are the stages a frame passes, in the order below. A module imports only from
stages above its own line (``tests/test_layout.py`` keeps this)::

    errors  stopping  bundled  frames  coords  config  show  ahead
    plate       EXR in and out, log curve, proxies
    shapes      records of tracking points and roto shapes, Bezier maths
    sidecar     roto.json, publishing, versions: of shots and of model packages
    character   template of a puppet, checks of its ground truth
    model       model packages, crop geometry, OpenVINO inference
    tracking    network output settled over a whole shot
    matte       shapes -> coverage images
    correction  what artists changed, kept and carried to other frames
    freshness   which published versions are out of date, and why
    training    learn a character from its ground truth (the only user of torch)
    review      static pages with pictures
    farm        job bundles, queue engines (sees only errors, frames, config)
    worker      what one farm task runs (does not see farm)
    cli         one file per command group
"""

__version__ = "0.1.0"
