// SPDX-License-Identifier: MIT
#include <omnibus/backends/memory.hpp>

#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

Result<Receipt> publish(Memory& memory, const Message& message, Submit how = {10s, true},
                        Duration delay = {}) {
  Result<Receipt> result = Error{};
  int endings = 0;
  Outgoing outgoing{message.view(), delay, [&](Result<Receipt> ending) {
                      ++endings;
                      result = std::move(ending);
                    }};
  memory.submit("orders", {&outgoing, 1}, how);
  CHECK(endings == 1);
  return result;
}

SubscriptionSpec spec_of(std::string group) {
  SubscriptionSpec spec;
  spec.topic = "orders";
  spec.group = std::move(group);
  return spec;
}

struct Everything final : Intake {
  std::vector<std::uint64_t> tokens;
  std::size_t room() const noexcept override { return 1000; }
  void deliver(const Incoming& incoming) override { tokens.push_back(incoming.token); }
  bool revoke(std::int32_t, Instant) override { return true; }
  void report(const Error*) override {}
};

}  // namespace

TEST_CASE("a config of memory that cannot be is refused by name") {
  const auto refuses = [](Memory::Config config, std::string_view field) {
    return throws_saying<std::invalid_argument>([&] { Memory memory{config}; }, field);
  };
  CHECK(refuses({.group = "a b"}, "group"));
  CHECK(refuses({.log_bytes = 64 * 1024 - 1}, "log_bytes"));
  CHECK(refuses({.partitions = 0}, "partitions"));
  CHECK(refuses({.partitions = 4097}, "partitions"));
  CHECK_NOTHROW(Memory{{.log_bytes = 64 * 1024, .partitions = 4096}});
}

TEST_CASE("backends with one endpoint share a broker; without one each has its own") {
  Memory first{{.endpoint = "shared"}};
  Memory second{{.endpoint = "shared"}};
  Memory other{{.endpoint = "other"}};
  Memory own{{}};
  CHECK(publish(first, message_of("1", "k")));
  const auto messages = [](Memory& memory) {
    auto consumer = memory.consume(spec_of(""));
    Everything intake;
    consumer.poll(intake, Instant::min());
    return intake.tokens.size();
  };
  CHECK(messages(second) == 1);
  CHECK(messages(other) == 0);
  CHECK(messages(own) == 0);
}

TEST_CASE("a broker exists with its limits and clock as long as somebody holds it") {
  VirtualClock clock;
  {
    Memory first{{.endpoint = "limits", .partitions = 8}};
    const auto refuses = [](Memory::Config config) {
      return throws_saying<std::invalid_argument>([&] { Memory memory{config}; }, "limits");
    };
    CHECK(refuses({.endpoint = "limits", .partitions = 9}));
    CHECK(refuses({.endpoint = "limits", .log_bytes = 1 << 20, .partitions = 8}));
    CHECK(refuses({.endpoint = "limits", .delayed = 5, .partitions = 8}));
    CHECK(refuses({.endpoint = "limits", .partitions = 8, .clock = &clock}));
    CHECK_NOTHROW(Memory{{.endpoint = "limits", .partitions = 8}});
    CHECK(publish(first, message_of("1", "k")));
  }
  Memory again{{.endpoint = "limits", .partitions = 9}};
  auto consumer = again.consume(spec_of(""));
  Everything intake;
  consumer.poll(intake, Instant::min());
  CHECK(intake.tokens.empty());
}

TEST_CASE("a closed backend takes nothing, and says so") {
  Memory memory{{}};
  CHECK(memory.health().ok);
  CHECK(memory.close(Instant::max()));
  CHECK(memory.close(Instant::max()));
  CHECK_FALSE(memory.health().ok);
  CHECK(publish(memory, message_of("1", "k")).error().code == Errc::closed);
}

TEST_CASE("a log full of what a group still needs says so at once, or after the time allowed") {
  Memory memory{{.log_bytes = 64 * 1024}};
  auto consumer = memory.consume(spec_of("slow"));
  const Message message = message_of("1", "k", std::string(4000, 'x'));
  Result<Receipt> last = Receipt{};
  int stored = 0;
  while (last && stored < 100) {
    last = publish(memory, message, {10s, false});
    if (last) ++stored;
  }
  REQUIRE_FALSE(last);
  CHECK(last.error().code == Errc::window_full);
  CHECK(last.error().retryable);
  CHECK(publish(memory, message, {1ms, true}).error().code == Errc::window_full);

  Everything intake;
  std::thread publisher{[&] { CHECK(publish(memory, message, {patience, true})); }};
  consumer.poll(intake, Instant::min());
  std::vector<Settlement> settlements;
  for (const std::uint64_t token : intake.tokens)
    settlements.push_back({token, Settlement::Kind::done, {}, 0});
  consumer.settle(settlements);
  publisher.join();
}

TEST_CASE("a message larger than the log will ever take is too large, delayed or not") {
  Memory memory{{.log_bytes = 64 * 1024}};
  const Message message = message_of("1", "k", std::string(65 * 1024, 'x'));
  CHECK(publish(memory, message).error().code == Errc::too_large);
  CHECK(publish(memory, message, {1s, true}, 1h).error().code == Errc::too_large);
}

TEST_CASE("messages that wait for their time are bounded") {
  Memory memory{{.delayed = 2}};
  CHECK(publish(memory, message_of("1", "k"), {1s, true}, 1h));
  CHECK(publish(memory, message_of("2", "k"), {1s, true}, 1h));
  CHECK(publish(memory, message_of("3", "k"), {1s, true}, 1h).error().code == Errc::window_full);
  CHECK(publish(memory, message_of("4", "k")));
}

TEST_CASE("a completion may publish") {
  Memory memory{{}};
  const Message message = message_of("1", "k");
  bool inner = false;
  Outgoing outgoing{message.view(), {}, [&](Result<Receipt>) {
                      inner = static_cast<bool>(publish(memory, message_of("2", "k")));
                    }};
  memory.submit("orders", {&outgoing, 1}, {10s, true});
  CHECK(inner);
}

TEST_CASE("a batch of memory that is larger than its log takes is refused, and nothing of it stands") {
  Memory memory{{.log_bytes = 64 * 1024}};
  const auto publish_atomic = [&](std::size_t size) {
    const Message small = message_of("1", "k");
    const Message large = message_of("2", "k", std::string(size, 'x'));
    const std::vector<Addressed> messages{{"small", small.view()}, {"large", large.view()}};
    std::string ending = "none";
    memory.submit_atomic(messages, {10s, true}, [&](const Result<std::span<const Receipt>>& result) {
      ending = result ? "ok " + std::to_string(result->front().position.major)
                      : std::string{to_string(result.error().code)};
    });
    return ending;
  };
  CHECK(publish_atomic(5000) == "ok 0");
  CHECK(publish_atomic(10'000) == "too_large");
  CHECK(publish_atomic(5000) == "ok 1");
  CHECK(memory.close(Instant::max()));
  CHECK(publish_atomic(5000) == "closed");
}
