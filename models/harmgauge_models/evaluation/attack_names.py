"""The attacks of an evaluation: their names on the command line and in the report."""

WHITE_BOX = "white-box"
ATTACKS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "cw": "Carlini-Wagner L2",
    "slide": "SLIDE",
    WHITE_BOX: "white-box, on both",
}
