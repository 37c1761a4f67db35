// SPDX-License-Identifier: MIT
// Event sourcing: an order is what happened to it. Each line of order events goes to its order's stream, if
// the order allows it; views are made of what is stored; and an order can be seen as it was at any moment.
//
//     12_event_sourcing [--events FILE] [--file orders.db] [--order o-0007 [--at 2024-03-02T00:00:00Z]]
#include <cstdio>
#include <exception>
#include <fstream>
#include <map>
#include <omnibus/event_store/aggregate.hpp>
#include <omnibus/event_store/handlers.hpp>
#include <omnibus/event_store/memory.hpp>
#include <omnibus/event_store/projection.hpp>
#include <omnibus/event_store/sqlite.hpp>
#include <string>
#include <vector>

#include "order_service/feed.hpp"
#include "order_service/life_cycle.hpp"
#include "order_service/order_events.hpp"

namespace ob = omnibus;
using namespace shop;  // the events, their codecs, and the life cycle of orders
using namespace std::chrono_literals;

/// An order as its events make it.
struct OrderLife : Order {
  using Events = ob::EventTypes<OrderPlaced, OrderPaid, OrderShipped, OrderDelivered, OrderCanceled,
                                OrderUnavailable>;
};

/// What an event does to an order.
template <class E>
void evolve(OrderLife& order, const E& event) {
  order.state = E::leads_to;
  order.since = event.time;
}

/// Whether it may happen, or why not.
template <class E>
ob::Result<E> decide(const OrderLife& order, const E& event) {
  if (const auto why = contradiction(order, E::leads_to, event.time)) return ob::permanent(*why);
  return event;
}

struct Totals {
  int lines = 0, appended = 0, known = 0;
  std::map<std::string, int> refused{};
};

/// Appends each line's event to its order's stream. A line that was appended before, in another run, is known
/// by its id.
template <class Orders, class... E>
Totals append_lines(Orders& orders, std::istream& in, ob::EventTypes<E...>) {
  Totals totals;
  auto append = ob::event_handlers({}, [&](const E& event, const ob::StoredEvent& line) -> ob::Result<> {
    const auto decision = [&](const OrderLife& order) { return decide(order, event); };
    auto done = orders.execute("order-" + event.order, decision, {.id = line.id, .time = event.time});
    if (!done) return done.error();
    ++(done->appended.state == ob::Appended::State::appended ? totals.appended : totals.known);
    return {};
  }...);
  for (std::string line; std::getline(in, line);) {
    const auto message = message_of(line, static_cast<std::uint64_t>(++totals.lines));
    ob::Result<> done = message ? append({.id = message->id, .type = message->type, .payload = line})
                                : ob::Result<>{message.error()};
    if (done) continue;
    switch (done.error().code) {
      case ob::Errc::handler_failed: ++totals.refused[done.error().context]; break;
      case ob::Errc::decode_failed:
      case ob::Errc::unknown_type: ++totals.refused["no event of an order"]; break;
      default: throw ob::BadResult{done.error()};
    }
  }
  return totals;
}

/// What the shop wants to see, made of nothing but events, each time anew.
struct Views {
  std::map<std::string, State> orders{};
  std::map<std::string, Cents> revenue{};  ///< by day
  std::map<std::string, Time> shipped{};
  std::vector<std::string> late{};         ///< more than five days on the way
};

template <class Store>
ob::Result<> build(Store& store, const std::string& name, auto handlers) {
  const auto progress = [&](const ob::ReplayProgress& told) {
    std::printf("%s: %3.0f %%, %.0f events a second\n", name.c_str(),
                100.0 * double(told.at.position) / double(told.at.head), told.per_second);
  };
  return ob::Projection{store,
                        {.name = name,
                         .category = "order",
                         .page = 200,
                         .in_memory = true,
                         .progress = progress,
                         .progress_every = 0s},
                        std::move(handlers)}
      .catch_up();
}

template <class Store, class... E>
Views build_views(Store& store, ob::EventTypes<E...>) {
  Views views;
  build(store, "orders by state", ob::event_handlers({}, [&](const E& event) {
    views.orders[event.order] = E::leads_to;
  }...)).value();

  const ob::EventReading some{.unknown = ob::UnknownType::skip};
  build(store, "revenue by day", ob::event_handlers(some, [&](const OrderPaid& paid) {
    views.revenue[time_text(paid.time).substr(0, 10)] += paid.amount.value_or(0);
  })).value();

  const auto shipped = [&](const OrderShipped& event) { views.shipped[event.order] = event.time; };
  const auto delivered = [&](const OrderDelivered& event) {
    if (event.time - views.shipped[event.order] > std::chrono::days{5}) views.late.push_back(event.order);
  };
  build(store, "late deliveries", ob::event_handlers(some, shipped, delivered)).value();
  return views;
}

void print(const Totals& totals) {
  std::printf("%d lines: %d appended, %d known already\n", totals.lines, totals.appended, totals.known);
  for (const auto& [why, count] : totals.refused) std::printf("  %3d refused: %s\n", count, why.c_str());
}

void print(const Views& views) {
  std::map<State, int> states;
  for (const auto& [order, state] : views.orders) ++states[state];
  std::printf("\n%zu orders\n", views.orders.size());
  for (const auto& [state, count] : states) std::printf("  %3d %s\n", count, to_string(state).data());
  Cents total = 0;
  for (const auto& [day, cents] : views.revenue) {
    std::printf("  %s %10.2f\n", day.c_str(), double(cents) / 100);
    total += cents;
  }
  std::printf("  revenue    %10.2f\n  %zu delivered late\n", double(total) / 100, views.late.size());
}

template <class Store>
void serve(Store& store, std::map<std::string, std::string> options) {
  ob::Aggregate orders{store, OrderLife{}};
  std::ifstream events{options["--events"]};
  if (!events) throw std::runtime_error{"cannot open " + options["--events"]};
  print(append_lines(orders, events, OrderLife::Events{}));
  print(build_views(store, OrderLife::Events{}));

  if (const std::string name = options["--order"]; !name.empty()) {
    const auto at = parse_time(options["--at"]);
    const auto then = orders.load("order-" + name, {.time = at}).value();
    std::printf("\n%s was %s after %zu events%s%s\n", name.c_str(), to_string(then.state.state).data(),
                std::size_t{then.version}, at ? ", at " : "", options["--at"].c_str());
  }
}

int main(int count, char** arguments) {
  try {
    std::map<std::string, std::string> options{{"--events", ORDERS}};
    for (int i = 1; i + 1 < count; i += 2) options[arguments[i]] = arguments[i + 1];
    if (options["--file"].empty()) {
      ob::MemoryEventStore store;
      serve(store, options);
    } else {
      ob::SqliteEventStore store{{.path = options["--file"]}};
      serve(store, options);
    }
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 2;
  }
}
