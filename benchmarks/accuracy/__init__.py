"""Accuracy against other ways of doing it: ``python -m benchmarks.accuracy --help``.

Every method learns from the same training shots within the same wall time and threads, draws
the same frames of the same evaluation shots, and is measured with the same definitions
(``docs/evaluate.md``). ``docs/accuracy.md`` says what each method is and what was tuned.

    footage      which shots, their plates, their truth
    method       what a method is asked for, and how it answers
    methods/     one file each
    heads, flow, fitting   what several of them share: crops, optical flow, training to a budget
    run          every method, every shot; results are kept, so a run goes on where it stopped
    figures      what is measured beyond ``laikaroto.training.evaluate``
    table        Markdown and JSON
    pictures     plates with the truth and every method's shapes
    few_shots    the curve over the number of training shots
"""
