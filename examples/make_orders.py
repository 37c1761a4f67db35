#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes orders.ndjson: invented orders with the mistakes that real ones have.

    ./make_orders.py > orders.ndjson
"""

import datetime
import json
import random

SEED = 17
ORDERS = 104
dice = random.Random(SEED)


def line(kind, order, time, **more):
    return time, json.dumps({"type": f"order.{kind}", "order": order,
                             "time": time.strftime("%Y-%m-%dT%H:%M:%SZ"), **more},
                            separators=(",", ":"))


def life(number):
    """The events of one order: most go well, some contradict the life cycle or lack something."""
    order = f"o-{number:04}"
    fate = dice.random()
    placed = datetime.datetime(2024, 3, 1) + datetime.timedelta(minutes=dice.randrange(14 * 24 * 60))
    paid = placed + datetime.timedelta(minutes=dice.randrange(1, 300))
    shipped = paid + datetime.timedelta(minutes=dice.randrange(200, 4000))
    delivered = shipped + datetime.timedelta(minutes=dice.randrange(900, 9000))
    payment = {"amount": dice.randrange(490, 25000) / 100,
               "method": dice.choice(["card", "card", "card", "transfer", "voucher"])}
    if dice.random() < 0.1:
        payment = {}  # the amount got lost on the way
    customer = f"c-{dice.randrange(70):03}"

    yield line("placed", order, placed, customer=customer)
    if fate < 0.04:
        yield line("canceled", order, paid)
        return
    if fate < 0.06:  # shipped before it was paid
        shipped, paid = paid, shipped
    yield line("paid", order, paid, **payment)
    if fate > 0.97:
        yield line("paid", order, paid + datetime.timedelta(seconds=3), **payment)  # twice
    if 0.90 < fate < 0.93:
        yield line("unavailable", order, shipped)
        return
    if 0.93 < fate < 0.95:
        yield line("canceled", order, shipped)
        yield line("shipped", order, shipped + datetime.timedelta(minutes=40))  # too late
        return
    if fate > 0.88:
        return  # still waiting
    yield line("shipped", order, shipped)
    if fate > 0.82:
        return  # on its way
    yield line("delivered", order, delivered)
    if 0.80 < fate:
        yield line("canceled", order, delivered + datetime.timedelta(hours=5))  # too late


def main():
    events = [event for number in range(1, ORDERS + 1) for event in life(number)]
    events.sort(key=lambda event: event[0])
    lines = [text for _, text in events]
    odd = [
        '{"type":"order.placed","order":"o-9001","time":"2024-03-04T09:1',  # cut off
        "shipment manifest follows",
        '["order.placed","o-9002","2024-03-05T10:00:00Z"]',
        '{"type":"order.returned","order":"o-0012","time":"2024-03-09T08:00:00Z"}',
        '{"type":"order.placed","order":"o-9003","time":"yesterday","customer":"c-001"}',
        '{"type":"order.shipped","time":"2024-03-10T11:30:00Z"}',
        '{"order":"o-9004","time":"2024-03-11T00:00:00Z"}',
        '{"type":"order.paid","order":"o-0020","time":"2024-03-02T00:00:00Z","amount":-5.0,"method":"card"}',
        '{"type":"order.paid","order":"o-0021","time":"2024-03-12T00:00:00Z","amount":"12,50"}',
    ]
    for at, text in enumerate(odd):
        lines.insert(len(lines) * (at + 1) // (len(odd) + 1), text)
    print("\n".join(lines))


main()
