#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts a file of order events on its own and compares what the event sourcing example says of it.

    check_event_sourcing.py PROGRAM EVENTS

The rules are written down here a second time, from the description, not from the C++ code.
"""

import collections
import datetime
import decimal
import json
import pathlib
import re
import subprocess
import sys
import tempfile

# What must be the case before an event of this kind.
ALLOWED = {"placed": {None}, "paid": {"placed"}, "shipped": {"paid"}, "delivered": {"shipped"},
           "canceled": {"placed", "paid", "shipped"}, "unavailable": {"placed", "paid"}}


def accepted(path):
    """The events that their orders allow, in the order of the file."""
    state, since = {}, {}
    for line in pathlib.Path(path).read_text().splitlines():
        try:
            event = json.loads(line, parse_float=decimal.Decimal)
            kind, order = event["type"].removeprefix("order."), event["order"]
            time = datetime.datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ")
            if isinstance(event.get("amount"), str) or state.get(order) not in ALLOWED[kind]:
                continue
        except (ValueError, KeyError, TypeError):
            continue
        if order in since and time < since[order]:
            continue
        state[order], since[order] = kind, time
        yield kind, order, time, event.get("amount") or 0


def main():
    program, events = sys.argv[1:]
    count = list(accepted(events))
    state, revenue, shipped, late = {}, collections.Counter(), {}, 0
    for kind, order, time, amount in count:
        state[order] = kind
        revenue[str(time.date())] += amount
        shipped[order] = time if kind == "shipped" else shipped.get(order)
        late += kind == "delivered" and time - shipped[order] > datetime.timedelta(days=5)
    last = count[-1][1]  # an order, and a moment in its life
    mine = [event for event in count if event[1] == last]
    at = mine[len(mine) // 2][2]
    then = [event for event in mine if event[2] <= at]

    with tempfile.TemporaryDirectory() as scratch:
        def run(*options):
            command = [program, "--events", events, *options, "--order", last, "--at", f"{at:%Y-%m-%dT%H:%M:%SZ}"]
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
        file = ["--file", str(pathlib.Path(scratch) / "orders.db")]
        told = {"memory": (run(), len(count), 0), "file": (run(*file), len(count), 0),
                "file again": (run(*file), 0, len(count))}

    for where, (text, appended, known) in told.items():
        expected = [rf": {appended} appended, {known} known already", rf"^{len(state)} orders",
                    rf"^ +{late} delivered late", rf"^  revenue +{sum(revenue.values()):.2f}$",
                    rf"^{last} was {then[-1][0]} after {len(then)} events"]
        expected += [rf"^ +{n} {kind}$" for kind, n in collections.Counter(state.values()).items()]
        expected += [rf"^  {day} +{amount:.2f}$" for day, amount in revenue.items() if amount]
        for each in expected:
            if not re.search(each, text, re.MULTILINE):
                sys.exit(f"{where}: expected /{each}/ in\n{text}")
    print(f"{len(count)} events of {len(state)} orders: all agree")


main()
