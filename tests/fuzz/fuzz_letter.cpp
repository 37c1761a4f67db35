// SPDX-License-Identifier: MIT
// Dead letters: what is written about a message comes back with it, and whatever somebody else wrote there
// does no harm.
#include <string>
#include <string_view>

#include <omnibus/clock.hpp>
#include <omnibus/dead_letters.hpp>
#include <omnibus/letter.hpp>

#include "fuzz.hpp"

namespace {

using namespace omnibus;
using fuzz::require;

/// A subscription that does nothing.
class Context final : public DeliveryContext {
 public:
  explicit Context(std::string group) : group_{std::move(group)} {}
  Result<Receipt> publish(std::string_view, const MessageView&) override { return Receipt{}; }
  const Clock& clock() const noexcept override { return clock_; }
  std::string_view group() const noexcept override { return group_; }
  std::uint64_t random() noexcept override { return 1; }
  void report(const Error*) override {}
  void notify(DeliveryEvent, const Delivery&, const Error*) override {}

 private:
  std::string group_;
  SystemClock clock_;
};

Headers without_ours(HeadersView headers) {
  Headers kept;
  for (const Header header : headers) {
    if (!header.name.starts_with("omnibus-dead-") && header.name != "omnibus-redriven") {
      kept.add(header.name, header.value);
    }
  }
  return kept;
}

/// What others wrote.
void foreign(const Message& message) {
  const DeadLetter died = read_dead_letter(message.headers);
  require(died.time >= Time{} && died.first_time >= Time{}, "times are what a Time can say");
  require(!has_origin(died) || died.topic == message.headers.get("omnibus-dead-topic"), "an origin is told");
  const Redriven again = read_redriven(message.headers);
  require(again.redrive.find(' ') == std::string_view::npos, "a redrive's name ends at the space");

  const MessageView view = message.view();
  const LetterView letter{view, died, 0, {}};
  require(Letter{letter}.died().reason == died.reason, "a letter is kept as it is");
  LetterCensus census;
  census.add(letter);
  census.add(letter);
  require(census.counts().size() == 1 && census.counts()[0].letters == 2, "one cause is counted as one");
  LetterCursor cursor, seen;
  cursor.note(letter);
  require(cursor.is_behind(letter, seen), "what was shown lies behind");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input{data, size};
  const std::uint32_t attempts = input.byte();
  const Time now{std::chrono::milliseconds{input.number() % 4'000'000'000'000}};
  const Position position{input.number(), input.byte()};
  const std::string topic{input.text()}, group{input.text()}, reason{input.text()}, redrive{input.text()};
  const Message message = fuzz::message_from(input);
  foreign(message);

  Context context{group};
  const MessageView view = message.view();
  Incoming incoming{&view, topic, static_cast<std::int32_t>(attempts), position, attempts, 1};
  Delivery delivery{incoming, context};
  delivery.mark_attempted();
  const Error error{Errc::rejected, false, topic, reason};
  Message dead = make_dead_letter(delivery, error, now, std::chrono::milliseconds{attempts});
  fuzz::walk(dead.view());
  const DeadLetter died = read_dead_letter(dead.headers);
  require(died.code == "rejected" && died.operation == topic && died.topic == topic && died.group == group,
          "what happened is read as it was written");
  require(died.reason == std::string_view{reason}.substr(0, 2048), "a reason is kept, as far as it fits");
  require(died.attempts == attempts + 1, "attempts are read as they were written");
  const Time first = now - std::chrono::milliseconds{attempts};
  require(died.time == now && (died.first_time == first || first < Time{}), "times are read as they were written");
  std::string place = std::to_string(position.major);
  if (position.minor != 0) place += "-" + std::to_string(position.minor);
  require(died.position == place, "the position is told");

  const Message back = restore(dead.view(), redrive);
  Headers before = without_ours(message.headers);
  before.add("omnibus-redriven", redrive + " " + group);
  Message expected = message;
  expected.headers = before;
  require(fuzz::same(back.view(), expected.view()), "a letter comes back as the message that it was made of");
  if (redrive.find(' ') == std::string::npos) {
    const Redriven again = read_redriven(back.headers);
    require(again.redrive == redrive && again.group == group, "a redrive is told");
  }

  const bool had_headers = !message.headers.empty();
  const std::size_t whole = dead.headers.view().block().size();
  if (cut_headers(dead)) {
    require(had_headers, "what was cut was there");
    require(read_dead_letter(dead.headers).reason == std::string_view{reason}.substr(0, 2048) &&
                dead.headers.contains("omnibus-dead-cut"),
            "what is cut leaves the story");
    require(dead.headers.view().block().size() <= whole + 8 + 16 + 2, "what is cut gets shorter");
  }
  return 0;
}
