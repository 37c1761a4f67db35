// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <omnibus/omnibus.hpp>
#include <stdexcept>
#include <string>

#include "dead_letter_desk.hpp"
#include "diagram.hpp"
#include "feed.hpp"
#include "gateway.hpp"
#include "journal.hpp"
#include "options.hpp"
#include "order_book.hpp"
#include "order_events.hpp"
#include "report.hpp"

// The order service on any backend: billing charges what was paid, states follows every order.

namespace shop {

namespace ob = omnibus;

/// A handler that charges what was paid, and lets all other events pass.
inline auto charging(Gateway& gateway) {
  const auto charge = [&gateway](const OrderPaid& payment) -> ob::Result<> {
    if (!payment.amount) return ob::permanent("the payment has no amount");
    if (*payment.amount <= 0) return ob::permanent("the amount is not positive");
    return gateway.charge(payment.order, *payment.amount);
  };
  return ob::handlers(charge, [](const ob::Delivery&) {});
}

/// Writes the diagram of one order and says where it is.
inline void write_diagram(const Journal& journal, const Options& options) {
  const auto [order, story] = journal.choose_story();
  if (story.empty()) {
    fmt::print(stderr, "no diagram: {}\n",
               options.order.empty() ? "there is no order" : "there is no order " + options.order);
    return;
  }
  std::ofstream file{options.diagram};
  file << sequence_diagram(order, story, options.backend);
  if (!file.flush()) throw std::runtime_error{"cannot write " + options.diagram};
  fmt::print(stderr, "the run of order {} is drawn in {}\n", printable(order), options.diagram);
}

/// Runs the service over a file of events. Returns 0 when every message is accounted for.
template <ob::Backend Backend>
int serve(const Options& options) {
  using namespace std::chrono_literals;
  std::ifstream file{options.events};
  if (!file || std::filesystem::is_directory(options.events)) {
    throw std::invalid_argument{"cannot open " + options.events};
  }

  Journal journal{options.order};
  Gateway gateway{options.gateway};
  OrderBook book;
  ob::MemoryKeyStore charged, entered;
  DeadLetterDesk desk;
  Progress progress;

  using Bus = ob::EventBus<Backend, Journal>;
  typename Bus::Config config;
  if (!options.endpoint.empty()) config.endpoint = options.endpoint;
  Bus bus{config, journal};

  auto billing = bus.subscribe("orders",
                               charging(gateway) | ob::retry({.attempts = 4, .initial = 5ms}) |
                                   ob::dead_letter("orders.dlq") | ob::idempotent(charged),
                               {.group = "billing", .concurrency = options.concurrency});
  auto states = bus.subscribe("orders",
                              entering<OrderPlaced, OrderPaid, OrderShipped, OrderDelivered,
                                       OrderCanceled, OrderUnavailable>(book) |
                                  ob::dead_letter("orders.dlq") | ob::idempotent(entered),
                              {.group = "states", .concurrency = options.concurrency});
  billing.wait_registered().value();  // a broker may keep nothing for a group it does not know
  states.wait_registered().value();

  std::uint64_t sent = 0;
  const auto show = [&] {
    progress.show(sent, journal.endings("billing").sum(), journal.endings("states").sum());
  };
  const auto sending = [&](const ob::Message& message) {
    journal.publishing(message);
    if (++sent % 256 == 0) show();
  };
  const auto left_out = [&](const BadLine& bad) {
    progress.say(fmt::format("line {}: {}", bad.number, bad.why));
  };

  const auto start = std::chrono::steady_clock::now();
  const FeedTotals fed = feed(bus, file, options.duplicates, sending, left_out);
  const bool settled = journal.wait("billing", fed.published, 30s, show) &&
                       journal.wait("states", fed.published, 30s, show);
  const auto took = std::chrono::steady_clock::now() - start;
  show();
  progress.finish();
  if (!settled) progress.say("nothing has happened for 30 s: some messages are missing");

  const Endings billed = journal.endings("billing"), followed = journal.endings("states");
  auto reader = bus.subscribe(
      "orders.dlq", [&desk](const ob::Delivery& letter) { desk.take(letter); }, {.group = "desk"});
  journal.wait("desk", billed.dead_lettered + followed.dead_lettered, 30s, show);

  const Report report{options.backend,
                      fed,
                      took,
                      book.by_state(),
                      gateway.totals(),
                      desk.causes(),
                      {{"billing", billed}, {"states", followed}}};
  options.json ? print_json(report) : print_tables(report);
  std::fflush(stdout);
  write_diagram(journal, options);
  if (report.adds_up()) return 0;
  fmt::print(stderr, "the totals do not add up\n");
  return 1;
}

}  // namespace shop
