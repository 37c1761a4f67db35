// SPDX-License-Identifier: MIT
#include <omnibus/letter_pass.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using Kind = Settlement::Kind;

namespace {

using Strings = std::vector<std::string>;

/// A broker on a clock of its own: while a pass waits, time goes by and scripted things happen.
struct Script {
  struct Published {
    std::string topic;
    Message message;
    PublishDone done;
  };
  VirtualClock clock;
  std::deque<Message> letters;              ///< of which each has its token by its place, from 1
  std::vector<std::int32_t> partitions;     ///< of each; 0 where it is not said
  std::size_t delivered = 0;
  std::vector<MessageView> views = std::vector<MessageView>(1000);
  std::vector<Settlement> settled;
  std::deque<Published> published;
  bool answers = true;                      ///< publishes end well at the next poll
  std::function<void(Intake&)> at_poll = [](Intake& intake) { intake.report(nullptr); };
  Result<> close_answer{};
  bool closed = false;
  std::size_t most_unsettled = 0;

  void add(std::string id, std::string key, std::string topic = "orders") {
    Message letter = message_of(std::move(id), std::move(key));
    if (!topic.empty()) letter.headers.add(dead_header::topic, topic);
    letters.push_back(std::move(letter));
  }
  void end(std::size_t which, Result<Receipt> ending = Receipt{}) {
    PublishDone done = std::move(published[which].done);
    done(std::move(ending));
  }
  std::optional<Kind> kind_of(std::uint64_t token) const {
    for (const Settlement& each : settled) {
      if (each.token == token) return each.kind;
    }
    return {};
  }
  std::size_t count(Kind kind) const {
    std::size_t number = 0;
    for (const Settlement& each : settled) number += each.kind == kind ? 1 : 0;
    return number;
  }
};

struct ScriptConsumer {
  Script* script;
  void poll(Intake& intake, Instant until) {
    Script& it = *script;
    it.at_poll(intake);
    bool any = false;
    for (std::size_t i = 0; it.answers && i < it.published.size(); ++i) {
      if (!it.published[i].done) continue;
      it.end(i);
      any = true;
    }
    while (it.delivered < it.letters.size() && intake.room() > 0) {
      const std::size_t index = it.delivered++;
      it.views[index] = it.letters[index].view();
      const std::int32_t partition = index < it.partitions.size() ? it.partitions[index] : 0;
      intake.deliver({&it.views[index], "dlq", partition, {index, 0}, 0, index + 1});
      any = true;
    }
    it.most_unsettled = std::max(it.most_unsettled, it.delivered - it.settled.size());
    const Instant now = it.clock.now();
    if (!any && until > now) it.clock.advance(std::min<Duration>(until - now, 500ms));
  }
  void settle(std::span<const Settlement> settlements) {
    script->settled.insert(script->settled.end(), settlements.begin(), settlements.end());
  }
  void wake() {}
  Result<> close(Instant) {
    script->closed = true;
    return script->close_answer;
  }
};

struct ScriptBackend {
  struct Config {
    std::string endpoint;
    std::string group;
    Script* script;
  };
  using Consumer = ScriptConsumer;
  static constexpr Capabilities capabilities{
      .name = "script", .shared = true, .groups = true, .redelivers = true};
  explicit ScriptBackend(Config config) : script{config.script} {}
  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit&) {
    for (Outgoing& each : messages) {
      script->published.push_back({std::string{topic}, Message{each.message}, std::move(each.done)});
    }
  }
  Result<> flush(Instant) { return {}; }
  Consumer consume(const SubscriptionSpec&) { return {script}; }
  Health health() const { return {}; }
  const Clock& clock() const noexcept { return script->clock; }
  Result<> close(Instant) { return {}; }
  Script* script;
};
static_assert(Backend<ScriptBackend>);

using Pass = LetterPass<ScriptBackend>;

/// Redrives what is not called "keep...".
LetterReport redrive(Script& script, LetterOptions options = {}) {
  ScriptBackend backend{{"", "", &script}};
  Pass pass{backend, SubscriptionSpec{"dlq", "g", {}, Order::strict, 100}, std::move(options)};
  return pass.run([](const LetterView& letter) {
    return letter.message.id.starts_with("keep") ? Pass::Verdict::leave : Pass::Verdict::redrive;
  });
}

}  // namespace

TEST_CASE("a letter is settled after its message is confirmed, in order, and others are left") {
  Script script;
  script.add("a", "k");
  script.add("keep", "k");
  script.add("b", "k", "invoices");
  const LetterReport report = redrive(script);
  CHECK(report.ending);
  CHECK(report.letters == 3);
  CHECK(report.done == 2);
  CHECK(report.left == 1);
  REQUIRE(script.published.size() == 2);
  CHECK(script.published[0].topic == "orders");
  CHECK(script.published[1].topic == "invoices");
  CHECK(script.kind_of(1) == Kind::done);
  CHECK(script.kind_of(2) == Kind::release);
  CHECK(script.kind_of(3) == Kind::done);
  CHECK(script.closed);
}

TEST_CASE("a letter is not settled while nobody has confirmed its message") {
  Script script;
  script.answers = false;
  script.add("a", "k");
  script.add("b", "k");
  int polls = 0;
  script.at_poll = [&](Intake& intake) {
    intake.report(nullptr);
    if (++polls == 3) script.end(1);  // the second first
    if (polls == 4) CHECK(script.settled.empty());
    if (polls == 5) script.end(0);
  };
  const LetterReport report = redrive(script);
  CHECK(polls >= 5);
  CHECK(report.done == 2);
  REQUIRE(script.settled.size() == 2);
  CHECK(script.settled[0].token == 1);
}

TEST_CASE("what is refused for good is left with its key, and other keys go on") {
  Script script;
  script.answers = false;
  for (const char* each : {"a1", "b1", "a2"}) script.add(each, std::string(1, each[0]));
  int polls = 0;
  script.at_poll = [&](Intake& intake) {
    intake.report(nullptr);
    if (++polls != 3) return;
    script.end(0, Error::make(Errc::not_found, "publish", "no such topic"));
    script.end(1);
    script.end(2);
    script.add("a3", "a");
    script.add("b2", "b");
    script.answers = true;
  };
  const LetterReport report = redrive(script);
  CHECK(report.ending.error().code == Errc::not_found);
  CHECK(report.done == 2);
  CHECK(report.refused == 3);
  CHECK(script.kind_of(1) == Kind::release);
  CHECK(script.kind_of(2) == Kind::done);
  CHECK(script.kind_of(3) == Kind::release);  // published, but before a1: both come again
  CHECK(script.kind_of(4) == Kind::release);
  CHECK(script.kind_of(5) == Kind::done);
  CHECK(script.published.size() == 4);  // a3 was not
}

TEST_CASE("what may pass ends the redrive, when everything under way has its ending") {
  Script script;
  script.answers = false;
  script.add("a", "a");
  script.add("b", "b");
  int polls = 0;
  script.at_poll = [&](Intake& intake) {
    intake.report(nullptr);
    if (++polls == 3) script.end(0, Error::make(Errc::outcome_unknown, "publish"));
    if (polls == 5) script.add("c", "c");
    if (polls == 6) script.end(1);
  };
  const LetterReport report = redrive(script);
  CHECK(report.ending.error().code == Errc::outcome_unknown);
  CHECK(report.done == 1);
  CHECK(script.kind_of(1) == Kind::release);
  CHECK(script.kind_of(2) == Kind::done);
  CHECK(script.delivered == 2);
}

TEST_CASE("what comes back by the same redrive ends it in its partition alone") {
  Script script;
  script.add("a", "a");
  script.add("x", "x");
  script.partitions = {0, 1, 0, 0, 1};
  int polls = 0;
  script.at_poll = [&](Intake& intake) {
    intake.report(nullptr);
    if (++polls != 3) return;
    Message back = script.published[0].message;
    back.headers.add(dead_header::topic, "orders");
    script.letters.push_back(back);
    script.add("behind it", "a");
    script.add("y", "x");
  };
  const LetterReport report = redrive(script);
  CHECK(report.ending);
  CHECK(report.letters == 3);
  CHECK(report.done == 3);
  CHECK(script.kind_of(3) == Kind::release);
  CHECK(script.kind_of(4) == Kind::release);
  CHECK(script.kind_of(5) == Kind::done);
}

TEST_CASE("letters that died long after the beginning are not for this pass") {
  Script script;
  const auto died_at = [&](const char* id, Duration from_now) {
    script.add(id, "k");
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(
        (script.clock.wall() + from_now).time_since_epoch());
    script.letters.back().headers.add(dead_header::time, std::to_string(ms.count()));
  };
  died_at("by a clock that is ahead", 30s);
  died_at("later", 61s);
  const LetterReport report = redrive(script);
  CHECK(report.letters == 1);
  CHECK(script.kind_of(2) == Kind::release);
}

TEST_CASE("a redrive keeps to its rate, and holds no more letters than its window") {
  Script script;
  for (int i = 0; i < 100; ++i) script.add("m" + std::to_string(i), "k");
  const Instant start = script.clock.now();
  const LetterReport report = redrive(script, {.per_second = 10, .quiet = {}, .window = 7});
  CHECK(report.done == 100);
  CHECK(script.clock.now() - start >= 9'900ms);
  CHECK(script.clock.now() - start <= 11s);
  CHECK(script.most_unsettled <= 7);
}

TEST_CASE("a pass ends early when it is told so, or has done enough, and leaves the rest") {
  Script script;
  for (int i = 0; i < 10; ++i) script.add("m" + std::to_string(i), "k");
  CHECK(redrive(script, {.limit = 4}).done == 4);
  CHECK(script.count(Kind::release) == 6);

  Script other;
  for (int i = 0; i < 10; ++i) other.add("m" + std::to_string(i), "k");
  const LetterReport report =
      redrive(other, {.window = 2, .progress = [](const LetterReport& so_far) {
                        return so_far.done < 4;
                      }});
  CHECK(report.ending);
  CHECK(report.done >= 4);
  CHECK(report.done < 10);
  CHECK(other.count(Kind::done) == report.done);
  CHECK(other.count(Kind::done) + other.count(Kind::release) == other.delivered);
}

TEST_CASE("a pass is over after a time of quiet, which begins when the consumer is registered") {
  Script script;
  const Instant start = script.clock.now();
  script.at_poll = [&](Intake& intake) {
    const Error away = Error::make(Errc::unavailable, "consume", "no broker");
    intake.report(script.clock.now() - start < 5s ? &away : nullptr);
    if (script.clock.now() - start >= 6s && script.letters.empty()) script.add("late", "k");
  };
  CHECK(redrive(script, {.quiet = 2s, .patience = 10s}).done == 1);
}

TEST_CASE("a broker that stays away ends the pass with what is wrong") {
  Script script;
  const Error away = Error::make(Errc::access_denied, "consume", "wrong password");
  script.at_poll = [&](Intake& intake) { intake.report(&away); };
  const Instant start = script.clock.now();
  const LetterReport report = redrive(script, {.patience = 10s});
  CHECK(report.ending.error().code == Errc::access_denied);
  CHECK(script.clock.now() - start >= 10s);
  CHECK(script.clock.now() - start < 13s);
}

TEST_CASE("what is taken away is given back, and what is under way has its time") {
  Script script;
  script.answers = false;
  for (const char* each : {"a", "b", "c"}) script.add(each, each);
  script.partitions = {0, 1, 0};
  int polls = 0;
  script.at_poll = [&](Intake& intake) {
    intake.report(nullptr);
    if (++polls == 2) CHECK_FALSE(intake.revoke(0, Instant::min()));
    if (polls == 3) {
      script.end(0);
      CHECK_FALSE(intake.revoke(0, Instant::min()));
      script.end(2);
      CHECK(intake.revoke(0, Instant::min()));
      CHECK_FALSE(script.kind_of(2));
      script.end(1);
    }
  };
  CHECK(redrive(script).done == 3);
}

TEST_CASE("what has not started when it is taken away is given back") {
  Script script;
  for (const char* each : {"a", "b", "c"}) script.add(each, each);
  script.partitions = {0, 1, 0};
  int polls = 0;
  script.at_poll = [&](Intake& intake) {
    intake.report(nullptr);
    if (++polls == 2) CHECK_FALSE(intake.revoke(0, Instant::min()));  // a is under way, c waits
  };
  CHECK(redrive(script, {.per_second = 1}).done == 2);
  CHECK(script.kind_of(2) == Kind::done);
  CHECK(script.kind_of(3) == Kind::release);
}

TEST_CASE("a letter that does not say where it came from is left, and its key goes on") {
  Script script;
  script.add("foreign", "k", "");
  script.add("a", "k");
  const LetterReport report = redrive(script);
  CHECK(report.ending);
  CHECK(report.without_origin == 1);
  CHECK(report.done == 1);
  CHECK(script.kind_of(1) == Kind::release);
  CHECK(script.published.size() == 1);
}

TEST_CASE("an end that the broker did not confirm is told") {
  Script script;
  script.close_answer = Error::make(Errc::timed_out, "close");
  CHECK(redrive(script).ending.error().code == Errc::timed_out);
}

TEST_CASE("a pass refuses options that make no sense, and says which") {
  Script script;
  const auto refuses = [&](LetterOptions options, std::string_view field) {
    return throws_saying<std::invalid_argument>([&] { redrive(script, std::move(options)); }, field);
  };
  CHECK(refuses({.per_second = -1}, "per_second"));
  CHECK(refuses({.per_second = 1e-9}, "per_second"));
  CHECK(refuses({.quiet = -1s}, "quiet"));
  CHECK(refuses({.patience = -1s}, "patience"));
  CHECK(refuses({.publish_timeout = 0s}, "publish_timeout"));
  CHECK(refuses({.window = 0}, "window"));
}

TEST_CASE("a rate catches up with what was missed for a moment, not for longer") {
  const Instant start{};
  LetterRate rate{10, start};
  CHECK(rate.due() == start);
  rate.spend(start);
  CHECK(rate.due() == start + 100ms);
  rate.spend(start + 150ms);
  CHECK(rate.due() == start + 200ms);
  rate.spend(start + 10s);
  CHECK(rate.due() == start + 10s);
  LetterRate any{0, start};
  any.spend(start + 1s);
  CHECK(any.due() == start);
}
