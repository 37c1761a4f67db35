#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts a file of order events on its own and compares what the order service says of it.

    check_totals.py SERVICE EVENTS [OPTION...]      $NAME: what the environment says

The rules are written down here a second time, from the description, not from the C++ code.
"""

import collections
import datetime
import decimal
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# What must be the case before an event of this kind.
ALLOWED = {
    "placed": {None},
    "paid": {"placed"},
    "shipped": {"paid"},
    "delivered": {"shipped"},
    "canceled": {"placed", "paid", "shipped"},
    "unavailable": {"placed", "paid"},
}
PATH = ["placed", "paid", "shipped", "delivered"]


def refuse(value):
    raise ValueError(f"{value} is no JSON")


def number(text):
    return decimal.Decimal(text)


class Count:
    """What a file says: orders, contradictions, payments."""

    def __init__(self, path, duplicates):
        self.bad, self.lines, self.events, self.published = [], 0, 0, 0
        self.state, self.since = {}, {}
        self.dead = collections.Counter()      # (group, type, reason): events
        self.again = collections.Counter()     # ... and their duplicates
        self.suppressed = collections.Counter()  # group: duplicates of events that went well
        self.payments = {}                     # order: the amount of its first payment
        self.second_payments = set()
        for at, raw in enumerate(pathlib.Path(path).read_bytes().split(b"\n"), 1):
            if raw.strip(b" \t\r"):
                self.lines += 1
                self.line(at, raw, duplicates)

    def line(self, at, raw, duplicates):
        try:
            event = json.loads(raw.decode("utf-8"), parse_float=number, parse_constant=refuse)
            if not isinstance(event, dict):
                raise ValueError("no object")
        except ValueError:
            self.bad.append(at)
            return
        self.events += 1
        twice = duplicates and self.events % duplicates == 0
        self.published += 2 if twice else 1
        kind = event.get("type") or "untyped"
        for group, judge in (("billing", self.bill), ("states", self.follow)):
            reason = judge(kind, event)
            if reason:
                self.dead[group, kind, reason] += 1
            if twice:
                if reason:
                    self.again[group, kind, reason] += 1
                else:
                    self.suppressed[group] += 1

    def malformed(self, event):
        """Why it is no order event at all."""
        order, time = event.get("order"), event.get("time")
        if not isinstance(order, str) or not order or not isinstance(time, str):
            return "malformed"
        try:
            datetime.datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            return "malformed"
        return None

    def bill(self, kind, event):
        if kind != "order.paid":
            return None
        amount = event.get("amount")
        if self.malformed(event) or isinstance(amount, (str, bool, list, dict)):
            return "malformed"
        if amount is None:
            return "the payment has no amount"
        if amount <= 0:
            return "the amount is not positive"
        if event["order"] in self.payments:
            self.second_payments.add(event["order"])
            return "the order was charged before"
        self.payments[event["order"]] = amount
        return None

    def follow(self, kind, event):
        name = kind.removeprefix("order.")
        if not kind.startswith("order.") or name not in ALLOWED:
            return f'no handler takes the message type "{kind}"'
        if self.malformed(event):
            return "malformed"
        if kind == "order.paid" and isinstance(event.get("amount"), (str, bool, list, dict)):
            return "malformed"
        order, now = event["order"], self.state.get(event["order"])
        if now not in ALLOWED[name]:
            return self.contradiction(now, name)
        if event["time"] < self.since.get(order, ""):
            return f"{name} at a time before the event it follows"
        self.state[order], self.since[order] = name, event["time"]
        return None

    def contradiction(self, now, name):
        if now == name:
            return f"{name} twice"
        if now is None:
            return f"{name} before it was placed"
        if now in PATH and name in PATH and PATH.index(name) > PATH.index(now):
            return f"{name} before it was {PATH[PATH.index(name) - 1]}"
        return f"{name} after it was {now}"


def plain(letter):
    """The service's reason in this program's words: what the JSON library says is its own affair."""
    return "malformed" if letter["code"] == "decode_failed" else letter["reason"]


def run(service, events, options):
    with tempfile.TemporaryDirectory() as scratch:
        diagram = pathlib.Path(scratch) / "order.mmd"
        result = subprocess.run([service, "--events", events, "--json", "--diagram", diagram, *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                encoding="utf-8", errors="replace", timeout=120)
        assert result.returncode == 0, f"ended with {result.returncode}:\n{result.stderr}"
        return json.loads(result.stdout), result.stderr, diagram.read_text()


def check_diagram(text):
    """Every line is one that Mermaid's grammar knows, and the run of an order is all there."""
    grammar = re.compile(r"---|title: \S.*|sequenceDiagram|  autonumber|  participant \w+( as .+)?"
                         r"|  Note over \w+: [^;#]+|  \w+(->>|-->>|-x)\w+: ([^;#]|#\d+;)+")
    for line in text.splitlines():
        assert grammar.fullmatch(line), f"no Mermaid: {line}"
    assert re.search(r"shop->>orders: publish", text), text
    assert re.search(r"orders->>\w+: deliver", text), text
    assert re.search(r"\w+-->>orders: acknowledge", text), text


def main():
    service, events, *options = map(os.path.expandvars, sys.argv[1:])
    told, progress, diagram = run(service, events, options)
    duplicates = int(options[options.index("--duplicates") + 1]) if "--duplicates" in options else 50
    count = Count(events, duplicates)
    wrong = []

    def compare(what, service_says, counted):
        if service_says != counted:
            wrong.append(f"{what}: the service says {service_says}, the count {counted}")

    compare("lines", told["lines"], count.lines)
    compare("events", told["events"], count.events)
    compare("published", told["published"], count.published)
    compare("bad lines", sorted(told["bad_lines"]), count.bad)
    for at in count.bad:
        compare(f"line {at} is reported", f"line {at}: " in progress, True)
    compare("orders by state", told["orders"], dict(collections.Counter(count.state.values())))

    # What the gateway does with a payment is its own affair; that each has one ending is not.
    gateway = re.compile("the card was declined|the gateway is busy; gave up after 4 attempts"
                         "|the order was charged before")
    for field, counted in (("events", count.dead), ("again", count.again)):
        said = collections.Counter()
        for letter in told["dead_letters"]:
            if not gateway.fullmatch(letter["reason"]):
                said[letter["group"], letter["type"], plain(letter)] += letter[field]
        compare(f"dead letters ({field})", {key: n for key, n in said.items() if n},
                {key: n for key, n in counted.items() if not gateway.fullmatch(key[2])})

    paid = told["payments"]
    compare("payments", paid["asked"], len(count.payments))
    compare("every payment ended", paid["charged"] + paid["declined"] + paid["unsettled"],
            len(count.payments))
    if paid["unsettled"] == 0:
        compare("sum of payments", paid["asked_cents"], round(sum(count.payments.values()) * 100))
    if paid["charged"] == paid["asked"]:
        compare("sum charged", paid["charged_cents"], paid["asked_cents"])
    if "--fail-rate" in options:
        compare("retries", told["groups"]["billing"]["retries"], 0)
        compare("duplicates of billing", told["groups"]["billing"]["duplicates"],
                count.suppressed["billing"])
    else:
        gave_up = sum(letter["events"] + letter["again"] for letter in told["dead_letters"]
                      if "gave up" in letter["reason"])
        compare("busy calls: followed by another or given up",
                told["groups"]["billing"]["retries"] + gave_up, paid["busy"])
        assert re.search(r"-xbilling: fail: .*\n  Note over billing: retry in", diagram), diagram
    compare("duplicates of states", told["groups"]["states"]["duplicates"], count.suppressed["states"])

    for name, group in told["groups"].items():
        compare(f"handled + dead letters + duplicates of {name}",
                group["handled"] + group["dead_lettered"] + group["duplicates"], count.published)
    compare("adds up", told["adds_up"], True)
    check_diagram(diagram)

    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{events}: {count.events} events, {len(count.state)} orders, {len(count.bad)} bad lines, "
          f"{sum(count.dead.values())} dead letters, {len(count.payments)} payments: all agree")


main()
