"""The attacks that an evaluation knows: names on the command line, and as a reader knows them."""

WHITE_BOX = "white-box"
ATTACKS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "cw": "Carlini-Wagner L2",
    "slide": "SLIDE",
    WHITE_BOX: "white-box, on both",
}
