// SPDX-License-Identifier: MIT
#include <omnibus/outbox/sqlite.hpp>

#include <omnibus/codec/text.hpp>
#include <omnibus/outbox/file.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/outbox/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

struct Placed {
  std::string id;
};

std::vector<Message> messages_in(const std::string& path, std::string* topic = nullptr) {
  outbox::File file{path, 5s};
  std::vector<Message> found;
  CHECK(file.scan(0, 1000,
                  [&](const outbox::Stored& stored) {
                    found.emplace_back(stored.message);
                    if (topic != nullptr) *topic = stored.topic;
                    return true;
                  })
            .value());
  return found;
}

}  // namespace

template <>
struct omnibus::Codec<Placed> {
  static constexpr std::string_view type = "order.placed";
  static void encode(const Placed& event, std::string& out) {
    if (event.id == "bad") throw std::runtime_error{"no such order"};
    out += "order " + event.id;
  }
  static Result<Placed> decode(std::string_view bytes) { return Placed{std::string{bytes}}; }
  static std::string_view key(const Placed& event) { return event.id; }
};

TEST_CASE("outbox: a message is there once its transaction has committed, and not before") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  CHECK(messages_in(folder.file()).empty());  // the tables are there
  CHECK(shop.transact([&] {
    CHECK(shop.raw().run("INSERT INTO orders VALUES('o-1')") == SQLITE_OK);
    CHECK(shop.outbox.add("orders", Placed{"o-1"}));
    CHECK(messages_in(folder.file()).empty());
    return true;
  }));
  std::string topic;
  const auto found = messages_in(folder.file(), &topic);
  REQUIRE(found.size() == 1);
  CHECK(topic == "orders");
  CHECK(found[0].type == "order.placed");
  CHECK(found[0].key == "o-1");
  CHECK(found[0].payload == "order o-1");
  CHECK(found[0].id.size() == 36);
}

TEST_CASE("outbox: a transaction that is rolled back leaves no message, nor the table it has made") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  for (int i = 0; i < 2; ++i) {
    (void)shop.transact([&] {
      CHECK(shop.outbox.add("orders", Placed{"o-1"}));
      return false;
    });
    CHECK(shop.raw().number("SELECT count(*) FROM sqlite_master WHERE name = 'omnibus_outbox'") == 0);
  }
  CHECK(shop.transact([&] { return shop.outbox.add("orders", Placed{"o-2"}).has_value(); }));
  CHECK(messages_in(folder.file()).size() == 1);
}

TEST_CASE("outbox: a message keeps all that it has") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  VirtualClock clock;
  SqliteOutbox outbox{shop.raw().connection(), {.clock = &clock}};
  Message whole = message_of("id-1", "key\0with zero"s, "bytes\0of it"s, "placed");
  whole.headers = {{"trace", "4bf9"}, {"empty", ""}};
  whole.sequence = {UINT64_MAX, 7};
  whole.time = clock.wall() - 1h;
  CHECK(shop.transact([&] {
    CHECK(outbox.add("orders", whole));
    CHECK(outbox.add("orders", "text", {.key = "k", .headers = {{"a", "b"}}, .id = "id-2"}));
    CHECK(outbox.add("orders", whole.view(), {.id = "id-3"}));
    return true;
  }));
  const auto found = messages_in(folder.file());
  REQUIRE(found.size() == 3);
  CHECK(found[0].id == "id-1");
  CHECK(found[0].key == whole.key);
  CHECK(found[0].payload == whole.payload);
  CHECK(found[0].type == "placed");
  CHECK(found[0].headers.view().block() == whole.headers.view().block());
  CHECK(found[0].sequence == whole.sequence);
  CHECK(found[0].time == whole.time);
  CHECK(found[1].id == "id-2");
  CHECK(found[1].key == "k");
  CHECK(found[1].payload == "text");
  CHECK(found[1].headers.get("a") == "b");
  CHECK(found[1].time == clock.wall());
  CHECK(found[2].id == "id-3");
}

TEST_CASE("outbox: what can never be published is refused, and nothing is added") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  const auto code = [](const Result<>& refused) {
    REQUIRE_FALSE(refused);
    return refused.error().code;
  };
  CHECK(shop.transact([&] {
    CHECK(code(shop.outbox.add("no topic", "text")) == Errc::invalid_argument);
    CHECK(code(shop.outbox.add("", "text")) == Errc::invalid_argument);
    CHECK(code(shop.outbox.add("orders", std::string(2u << 20, 'x'))) == Errc::too_large);
    CHECK(code(shop.outbox.add("orders", Placed{"bad"})) == Errc::encode_failed);
    CHECK(shop.outbox.add("orders", "text"));
    return true;
  }));
  CHECK(shop.count() == 1);
  CHECK_THROWS_AS(SqliteOutbox{nullptr}, std::invalid_argument);
}

TEST_CASE("outbox: outside a transaction nothing is added, because it would be alone") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  const auto refused = shop.outbox.add("orders", "text");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::invalid_argument);
  CHECK(refused.error().context.find("BEGIN") != std::string::npos);
}

TEST_CASE("outbox: a message can be taken back, in a transaction as well") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  shop.add({{"a", 1}, {"a", 2}});
  (void)shop.transact([&] {
    CHECK(shop.outbox.discard("a-1").value());
    return false;
  });
  CHECK(shop.count() == 2);
  CHECK(shop.transact([&] {
    CHECK(shop.outbox.discard("a-1").value());
    CHECK_FALSE(shop.outbox.discard("a-1").value());
    return true;
  }));
  CHECK(messages_in(folder.file()).at(0).id == "a-2");
}

TEST_CASE("outbox: positions are not given out again") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  shop.add({{"a", 1}, {"a", 2}});
  CHECK(shop.raw().run("DELETE FROM omnibus_outbox") == SQLITE_OK);
  shop.add({{"a", 3}});
  CHECK(shop.raw().number("SELECT position FROM omnibus_outbox") == 3);
}

TEST_CASE("outbox: files that cannot be used are told apart") {
  const TemporaryFolder folder;
  const auto code = [](SqliteOutbox& outbox) {
    const auto refused = outbox.add("orders", "text");
    REQUIRE_FALSE(refused);
    INFO(refused.error().message());
    return refused.error().code;
  };
  SECTION("of another version") {
    Shop shop{folder.file()};
    shop.add({{"a", 1}});
    CHECK(shop.raw().run("UPDATE omnibus_meta SET value = 9 WHERE name = 'outbox.version'") == SQLITE_OK);
    Raw raw{folder.file()};
    SqliteOutbox outbox{raw.connection()};
    CHECK(raw.run("BEGIN IMMEDIATE") == SQLITE_OK);
    CHECK(code(outbox) == Errc::topology_mismatch);
  }
  SECTION("locked by others") {
    Shop shop{folder.file()};
    shop.add({{"a", 1}});
    Raw other{folder.file()};
    CHECK(other.run("BEGIN IMMEDIATE") == SQLITE_OK);
    sqlite3_busy_timeout(shop.raw().connection(), 10);
    CHECK(shop.raw().run("BEGIN") == SQLITE_OK);
    CHECK(code(shop.outbox) == Errc::unavailable);
  }
  SECTION("full") {
    Shop shop{folder.file()};
    shop.add({{"a", 1}});
    CHECK(shop.raw().number("PRAGMA max_page_count=1") > 0);
    CHECK(shop.raw().run("BEGIN IMMEDIATE") == SQLITE_OK);
    Result<> added{};
    for (int i = 0; i < 100 && added; ++i) added = shop.outbox.add("orders", std::string(100'000, 'x'));
    REQUIRE_FALSE(added);
    CHECK(added.error().code == Errc::unavailable);
  }
  SECTION("read-only") {
    Shop shop{folder.file()};
    shop.add({{"a", 1}});
    CHECK(shop.raw().run("PRAGMA query_only=1") == SQLITE_OK);
    CHECK(shop.raw().run("BEGIN") == SQLITE_OK);
    CHECK(code(shop.outbox) == Errc::access_denied);
  }
  SECTION("no database") {
    std::ofstream{folder.file()} << std::string(5000, 'x');
    Raw raw{folder.file()};
    SqliteOutbox outbox{raw.connection()};
    CHECK(raw.run("BEGIN") == SQLITE_OK);
    CHECK(code(outbox) == Errc::topology_mismatch);
  }
}
