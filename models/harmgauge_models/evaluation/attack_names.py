"""The attacks of an evaluation: their names on the command line and in the report."""

WHITE_BOX = "white-box"
ATTACKS = {
    "fgsm": "FGSM, 8/255",
    "pgd": "PGD, 8/255",
    "pgd-2": "PGD, 2/255",
    "cw": "Carlini-Wagner L2",
    "slide": "SLIDE",
    "apgd": "APGD, 8/255",
    "square": "Square, 8/255",
    WHITE_BOX: "white-box, on both",
}
