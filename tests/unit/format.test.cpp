// SPDX-License-Identifier: MIT
#include <omnibus/format.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("errors, codes and positions format as their text") {
  CHECK(fmt::format("{}", Errc::too_large) == "too_large");
  CHECK(fmt::format("{:>10}|", Errc::closed) == "    closed|");
  CHECK(fmt::format("{}", Error::make(Errc::closed, "publish", "gone")) ==
        "publish: gone (closed)");
  CHECK(fmt::format("{}", Position{17, 0}) == "17");
  CHECK(fmt::format("{}", Position{1700000000000, 3}) == "1700000000000-3");
}

TEST_CASE("messages and deliveries format without payload and header values") {
  FakeContext context;
  Message message = message_of("id-1", "key-1", "secret payload", "order.placed");
  message.headers = {{"token", "secret header"}};
  CHECK(fmt::format("{}", message) == "id-1 order.placed key=key-1 14 bytes");
  CHECK(fmt::format("{}", message.view()) == fmt::format("{}", message));
  Received received{context, message, 1};
  const std::string line = fmt::format("{}", received.delivery);
  CHECK(line == "orders/3@17 attempt 2: id-1 order.placed key=key-1 14 bytes");
  CHECK(line.find("secret") == std::string::npos);
}

TEST_CASE("text from outside cannot break out of its line") {
  Message message = message_of("id\r\nfake log line", "\x1b[31m", "", "\x7f\0"s);
  const std::string line = fmt::format("{}", message);
  for (const char c : line) CHECK(static_cast<unsigned char>(c) >= ' ');
  CHECK(line.find('\x7f') == std::string::npos);
  message.id = std::string(100'000, 'x');
  CHECK(fmt::format("{}", message).size() < 1000);
  CHECK(fmt::format("{}", permanent("a\nb")).find('\n') == std::string::npos);
}

TEST_CASE("all counters of a subscription have their names") {
  const SubscriptionStats stats{1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(
      fmt::format("{}", stats) ==
      "handled 1, retried 2, dead-lettered 3, dropped 4, duplicates 5, given back 6, in flight 7, "
      "waiting 8");
}
