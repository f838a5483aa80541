"""Cut Noto Sans SC down to what the course can need: `make font`.

Keeps the 6,763 Han characters of GB 2312 (every text in everyday Simplified Chinese), Chinese
punctuation, Latin, Greek, and every character of the words. The source is the font of Debian's
package fonts-noto-cjk; the licence (SIL OFL 1.1) goes beside the result.

``--math stix-two-math-latin-400-normal.woff`` cuts the font of the reading pages' formulas instead, from
STIX Two Math as `npm pack @fontsource/stix-two-math` brings it (SIL OFL 1.1).
"""

import argparse
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

from initkit import words

ROOT = Path(__file__).parents[1]
FONT = ROOT / "initkit" / "words" / "font"
SOURCE = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
# A name of its own, so that a full Noto Sans on the reader's machine is never mistaken for it.
FAMILY = "initkit Noto Sans SC"


MATH = ROOT / "docs" / "_static" / "math.woff"
# Latin, accents, Greek, punctuation, letters like ℓ, arrows, operators, brackets; italic, bold, blackboard.
IN_FORMULAS = (
    (0x20, 0x7F), (0xA0, 0x100), (0x302, 0x306), (0x391, 0x3CA), (0x3D1, 0x3D6), (0x3F5, 0x3F6),
    (0x2010, 0x2040), (0x2100, 0x2140), (0x2190, 0x21E0), (0x2200, 0x2300), (0x22EF, 0x22F0),
    (0x27E8, 0x27EA), (0x1D400, 0x1D49C), (0x1D538, 0x1D56C), (0x1D6A4, 0x1D755),
)  # fmt: skip


def cut_math(source: str) -> None:
    """Its table MATH stays, by which browsers stretch roots and brackets."""
    options = subset.Options(layout_features=["*"], flavor="woff")
    font = subset.load_font(source, options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[c for start, end in IN_FORMULAS for c in range(start, end)])
    cutter.subset(font)
    subset.save_font(font, MATH, options)
    print(f"{MATH.relative_to(ROOT)}: {MATH.stat().st_size / 1e3:.0f} kB")


def gb2312() -> set[str]:
    """GB 2312's Han characters: rows 16 to 87 of its 94 × 94 table."""
    pairs = (bytes((row, cell)) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF))
    return {character for pair in pairs for character in pair.decode("gb2312", "ignore")}


def regular_sc(path: str) -> TTFont:
    for font in TTCollection(path).fonts:
        if font["name"].getDebugName(1) == "Noto Sans CJK SC":
            return font
    raise SystemExit(f"{path} holds no Noto Sans CJK SC")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=SOURCE)
    parser.add_argument("--math", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.math:
        return cut_math(arguments.math)
    source = arguments.source
    table = "".join(file.read_text(encoding="utf-8") for file in words.files())
    latin = {
        chr(c) for start, end in ((0x20, 0x7F), (0xA0, 0x100), (0x391, 0x3CA)) for c in range(start, end)
    }
    punctuation = set("，。、；：？！“”‘’（）《》〈〉【】—…·～￥–−×÷≈≠≤≥±√∞→←↑↓²³")
    font = regular_sc(source)

    options = subset.Options(layout_features=[], hinting=False, desubroutinize=False, notdef_outline=True)
    cutter = subset.Subsetter(options)
    cutter.populate(text="".join(gb2312() | set(table) | latin | punctuation))
    cutter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = FAMILY
        elif record.nameID == 6:
            record.string = FAMILY.replace(" ", "")
    FONT.mkdir(exist_ok=True)
    target = FONT / "NotoSansSC-subset.otf"
    font.save(target)
    size = f"{target.stat().st_size / 1e6:.2f} MB, {len(font.getBestCmap())} characters"
    print(f"{target.relative_to(ROOT)}: {size}")


if __name__ == "__main__":
    main()
