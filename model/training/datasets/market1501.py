"""Market-1501: 1,501 people under six cameras.

Zheng, Shen, Tian, Wang, Wang, Tian. "Scalable Person Re-identification: A Benchmark", ICCV 2015.
"""

import re

from model.training.datasets.bounding_boxes import PARTS, BoundingBoxes
from model.training.datasets.dataset import Count, Layout, Release

BOXES = BoundingBoxes(
    name="market1501",
    roots=("", "Market-1501-v15.09.15"),
    example="0002_c1s1_000451_03.jpg",
    pattern=re.compile(r"(-1|\d{4})_c(\d)s\d_\d{6}_\d{2}(?:\.(?:jpg|jpeg|png))+"),  # some end in .jpg.jpg
    terms="Market-1501: research use only, not to be redistributed.",
    release=Release(train=Count(12936, 751), query=Count(3368, 750), gallery=Count(15913, 751)),
)
LAYOUT = Layout(BOXES.name, BOXES.looks, PARTS, BOXES.fits, (BOXES.read,))
