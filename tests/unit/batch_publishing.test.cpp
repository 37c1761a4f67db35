// SPDX-License-Identifier: MIT
#include <omnibus/batch_publishing.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

Error failed(Errc code) { return Error::make(code, "publish", "so it is"); }

/// Takes messages and notes the calls; ends them as it is told.
struct Notes {
  std::vector<std::string> calls;
  std::vector<Result<Receipt>> endings;
  Duration timeout{};

  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    timeout = how.timeout;
    std::string call{topic};
    for (Outgoing& each : messages) {
      call.append(" ").append(each.message.payload);
      each.done(endings.empty() ? Result<Receipt>{Receipt{}} : endings[calls_of_one++]);
    }
    calls.push_back(call);
  }
  std::size_t calls_of_one = 0;
};

MessageBatch batch_of(const std::vector<std::string>& topics) {
  MessageBatch batch;
  int number = 0;
  for (const std::string& topic : topics) batch.add(topic, std::to_string(++number)).value();
  return batch;
}

}  // namespace

TEST_CASE("a batch is checked before it is sent, and the error says which message is wrong") {
  MessageBatch batch = batch_of({"a", "b"});
  CHECK(detail::check_batch(batch, {}));
  CHECK(detail::check_batch(MessageBatch{}, {}));
  batch.add("a", std::string(11, 'x')).value();
  const auto refused = detail::check_batch(batch, {.payload = 10});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::too_large);
  CHECK(refused.error().context == "message 2 of the batch: payload has 11 bytes, the limit is 10");
}

TEST_CASE("many endings are one: unknown before what cannot help before what may pass") {
  using Endings = std::vector<Result<Receipt>>;
  const Receipt good{3, {4, 0}};
  const auto all = detail::one_ending(Endings{good, Receipt{1}});
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  CHECK((*all)[0].partition == 3);
  CHECK((*all)[0].position == Position{4, 0});
  CHECK((*all)[1].partition == 1);
  CHECK(detail::one_ending(Endings{})->empty());

  const auto code_of = [](const Endings& endings) {
    const auto one = detail::one_ending(endings);
    return one ? std::string{"ok"} : std::string{to_string(one.error().code)};
  };
  const Error passing = failed(Errc::window_full);
  const Error final_one = failed(Errc::unroutable);
  const Error unknown = failed(Errc::outcome_unknown);
  CHECK(code_of({good, passing, good}) == "window_full");
  CHECK(code_of({passing, final_one}) == "unroutable");
  CHECK(code_of({final_one, unknown, passing}) == "outcome_unknown");
  CHECK(code_of({final_one, failed(Errc::too_large)}) == "unroutable");  // the first of its kind

  const auto mixed = detail::one_ending(Endings{good, final_one, good, unknown, passing});
  REQUIRE_FALSE(mixed);
  CHECK(mixed.error().retryable);
  CHECK(mixed.error().context ==
        "of 5 messages 2 were published, 2 failed, 1 have an unknown outcome: so it is");
  CHECK_FALSE(detail::one_ending(Endings{passing, final_one}).error().retryable);
}

TEST_CASE("what follows one another in a topic is one call, in the order of the batch") {
  Notes backend;
  const MessageBatch batch = batch_of({"a", "a", "b", "a", "c", "c"});
  const auto endings = detail::submit_all_and_wait(backend, batch, {10s});
  CHECK(backend.calls == std::vector<std::string>{"a 1 2", "b 3", "a 4", "c 5 6"});
  CHECK(backend.timeout < 10s);  // one deadline for all of them
  CHECK(endings.size() == 6);
  CHECK(detail::submit_all_and_wait(backend, MessageBatch{}, {10s}).empty());
}

TEST_CASE("each message of a batch has its own ending") {
  Notes backend;
  backend.endings = {Receipt{7}, failed(Errc::rejected), failed(Errc::outcome_unknown)};
  const auto endings = detail::submit_all_and_wait(backend, batch_of({"a", "b", "b"}), {10s});
  REQUIRE(endings.size() == 3);
  CHECK(endings[0]->partition == 7);
  CHECK(endings[1].error().code == Errc::rejected);
  CHECK(endings[2].error().code == Errc::outcome_unknown);
}
