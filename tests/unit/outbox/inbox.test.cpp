// SPDX-License-Identifier: MIT
#include <omnibus/outbox/inbox.hpp>

#include <omnibus/omnibus.hpp>
#include <omnibus/outbox/sqlite.hpp>

#include <atomic>
#include <string>

#include "catch.hpp"
#include "unit/outbox/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

struct Paid {
  std::string order;
};

Result<> insert(sqlite3* in, std::string_view what) {
  const std::string sql = "INSERT INTO orders VALUES('" + std::string{what} + "')";
  if (sqlite3_exec(in, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return retryable(sqlite3_errmsg(in));
}

}  // namespace

template <>
struct omnibus::Codec<Paid> {
  static constexpr std::string_view type = "paid";
  static void encode(const Paid& event, std::string& out) { out += event.order; }
  static Result<Paid> decode(std::string_view bytes) {
    if (bytes == "garbage") return Error::make(Errc::decode_failed, "decode paid", "garbage");
    return Paid{std::string{bytes}};
  }
};

TEST_CASE("inbox: the effect of a message happens once, however often it comes") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  SqliteKeyStore file{{.path = folder.file()}};
  EventBus<Memory> bus{{.group = "g"}};
  const auto subscription = bus.subscribe(
      "orders", inbox(file, [](sqlite3* in, const Paid& paid) { return insert(in, paid.order); }), {.concurrency = 2});
  for (int i = 0; i < 3; ++i) {
    bus.publish("orders", Paid{"o-1"}, {.id = "1"}).value();
    bus.publish("orders", Paid{"o-2"}, {.id = "2"}).value();
  }
  REQUIRE(eventually([&] { return subscription.stats().duplicates >= 4; }));
  CHECK(shop.raw().number("SELECT count(*) FROM orders") == 2);
}

TEST_CASE("inbox: an effect that fails leaves nothing, and is tried again") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  SqliteKeyStore file{{.path = folder.file()}};
  EventBus<Memory> bus{{.group = "g"}};
  std::atomic<int> attempts{0};
  const auto subscription = bus.subscribe(
      "orders",
      inbox(
          file,
          [&](sqlite3* in, const Paid& paid, const Delivery& delivery) -> Result<> {
            ++attempts;
            if (Result<> written = insert(in, paid.order); !written) return written;
            if (delivery.attempt() == 2) throw std::runtime_error{"no"};
            if (delivery.attempt() < 4) return retryable("not yet");
            return {};
          },
          {.retry = {.attempts = 5, .initial = 1ms}}));
  bus.publish("orders", Paid{"o-1"}).value();
  REQUIRE(eventually([&] { return subscription.stats().handled >= 1; }));
  CHECK(attempts == 4);
  CHECK(shop.raw().number("SELECT count(*) FROM orders") == 1);
}

TEST_CASE("inbox: what cannot be had is dead-lettered, and its id is free for when it is redriven") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  SqliteKeyStore file{{.path = folder.file()}};
  EventBus<Memory> bus{{.group = "g"}};
  std::atomic<int> attempts{0};
  std::atomic<bool> sick{true};
  const auto subscription = bus.subscribe("orders",
                                          inbox(
                                              file,
                                              [&](sqlite3* in, const Paid& paid) -> Result<> {
                                                ++attempts;
                                                if (sick) return retryable("never");
                                                return insert(in, paid.order);
                                              },
                                              {.retry = {.attempts = 3, .initial = 1ms}}));
  bus.publish("orders", Paid{"o-1"}, {.id = "1"}).value();
  REQUIRE(eventually([&] { return subscription.stats().dead_lettered == 1; }));
  CHECK(attempts == 3);
  bus.publish("orders", Paid{"garbage"}).value();
  Message other = message_of("3", "", "o-3", "shipped");
  bus.publish("orders", other).value();
  REQUIRE(eventually([&] { return subscription.stats().dead_lettered == 3; }));
  CHECK(attempts == 3);
  sick = false;
  bus.publish("orders", Paid{"o-1"}, {.id = "1"}).value();
  REQUIRE(eventually([&] { return subscription.stats().handled >= 1; }));
  CHECK(shop.raw().number("SELECT count(*) FROM orders") == 1);
}

TEST_CASE("inbox: an effect may take the delivery alone, and add to an outbox of the same file") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  SqliteKeyStore file{{.path = folder.file()}};
  EventBus<Memory> bus{{.group = "g"}};
  const auto subscription = bus.subscribe("orders", inbox(file, [](sqlite3* in, const Delivery& delivery) -> Result<> {
    if (Result<> written = insert(in, delivery.payload()); !written) return written;
    return SqliteOutbox{in}.add("invoices", Paid{std::string{delivery.payload()}},
                                {.id = "invoice of " + std::string{delivery.id()}});
  }));
  for (int i = 0; i < 2; ++i) bus.publish("orders", Paid{"o-1"}, {.id = "1"}).value();
  REQUIRE(eventually([&] { return subscription.stats().duplicates >= 1; }));
  CHECK(shop.raw().number("SELECT count(*) FROM orders") == 1);
  CHECK(shop.count() == 1);
}
