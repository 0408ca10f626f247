"""All orders, for tests to run through."""

import asdex

ORDERS = [
    asdex.NaturalOrder(),
    asdex.LargestFirst(),
    asdex.SmallestFirst(),
    asdex.SmallestLast(),
    asdex.IncidenceDegree(),
    asdex.DynamicLargestFirst(),
    asdex.RandomOrder(0),
]
