// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/clock.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/message.hpp>
#include <omnibus/backoff.hpp>
#include <omnibus/pipeline.hpp>

// What is kept of a message that could not be handled, and the stage that keeps it. The bus puts
// this stage around every pipeline, so that nothing disappears even where the user wrote none.

namespace omnibus {

/// The headers that a dead letter has beside the original ones. Times are milliseconds since 1970.
namespace dead_header {
inline constexpr std::string_view prefix = "omnibus-dead-";
inline constexpr std::string_view code = "omnibus-dead-code";           ///< of the last error
inline constexpr std::string_view operation = "omnibus-dead-operation"; ///< what failed
inline constexpr std::string_view reason = "omnibus-dead-reason";       ///< why, the last time
inline constexpr std::string_view first_reason = "omnibus-dead-first-reason";
inline constexpr std::string_view topic = "omnibus-dead-topic";
inline constexpr std::string_view group = "omnibus-dead-group";
inline constexpr std::string_view partition = "omnibus-dead-partition";
inline constexpr std::string_view position = "omnibus-dead-position";
inline constexpr std::string_view attempts = "omnibus-dead-attempts";
inline constexpr std::string_view time = "omnibus-dead-time";              ///< of the last failure
inline constexpr std::string_view first_time = "omnibus-dead-first-time";  ///< of the first
inline constexpr std::string_view cut = "omnibus-dead-cut";  ///< how many headers did not fit
}  // namespace dead_header

/// The dead letter of a delivery: id, type, key, payload, time and headers as they were, and what
/// happened in headers of its own, which replace those of an earlier life. `tried_for` is how long ago the
/// first attempt failed. A pure function.
inline Message make_dead_letter(const Delivery& delivery, const Error& error, Time now,
                                Duration tried_for = {}) {
  constexpr std::size_t longest_reason = 2048;
  Message dead{delivery.view()};
  dead.headers = {};
  for (const Header header : delivery.headers()) {
    if (!header.name.starts_with(dead_header::prefix)) dead.headers.add(header.name, header.value);
  }
  const auto reason = [](const Error& what) { return what.context.substr(0, longest_reason); };
  const Error& first = delivery.history() ? delivery.history()->first_error : error;
  const auto ms = [](Time time) {
    using std::chrono::milliseconds;
    return std::to_string(std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count());
  };
  std::string position = std::to_string(delivery.position().major);
  if (delivery.position().minor != 0) {
    position.append("-").append(std::to_string(delivery.position().minor));
  }
  dead.headers.add(dead_header::code, to_string(error.code))
      .add(dead_header::operation, error.operation)
      .add(dead_header::reason, reason(error))
      .add(dead_header::first_reason, reason(first))
      .add(dead_header::topic, delivery.topic())
      .add(dead_header::group, delivery.group())
      .add(dead_header::partition, std::to_string(delivery.partition()))
      .add(dead_header::position, position)
      .add(dead_header::attempts, std::to_string(delivery.attempts_made()))
      .add(dead_header::time, ms(now))
      .add(dead_header::first_time, ms(now - tried_for));
  return dead;
}

/// What the headers of a dead letter say. The views are the delivery's.
struct DeadLetter {
  std::string_view code;
  std::string_view operation;
  std::string_view reason;
  std::string_view first_reason;
  std::string_view topic;      ///< where it came from
  std::string_view group;      ///< who could not handle it
  std::string_view partition;
  std::string_view position;
  std::uint32_t attempts = 0;
  Time time{};        ///< of the last failure
  Time first_time{};  ///< of the first
};

/// The header that says by which redrive a message came back, and for which group. A message that fails
/// again carries it to its next dead letter; the next redrive replaces it.
inline constexpr std::string_view redriven_header = "omnibus-redriven";

/// What the header says; of a message that was not redriven, nothing.
struct Redriven {
  std::string_view redrive;  ///< its name, another one each time
  std::string_view group;    ///< that could not handle the message
};
/// Pure functions.
inline std::string write_redriven(const Redriven& redriven) {
  return std::string{redriven.redrive}.append(" ").append(redriven.group);
}
inline Redriven read_redriven(HeadersView headers) noexcept {
  const std::string_view text = headers.get(redriven_header);
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return {text, {}};
  return {text.substr(0, space), text.substr(space + 1)};
}

/// Reads the headers that `make_dead_letter` wrote; what is missing is empty. A pure function.
inline DeadLetter read_dead_letter(HeadersView headers) noexcept {
  DeadLetter dead{headers.get(dead_header::code),      headers.get(dead_header::operation),
                  headers.get(dead_header::reason),    headers.get(dead_header::first_reason),
                  headers.get(dead_header::topic),     headers.get(dead_header::group),
                  headers.get(dead_header::partition), headers.get(dead_header::position)};
  const auto read = [headers](std::string_view name, auto number) noexcept {
    const std::string_view text = headers.get(name);
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  };
  const auto time = [read](std::string_view name) noexcept {
    constexpr std::int64_t last = 9'000'000'000'000;  // of what nanoseconds in 64 bits can say
    const std::int64_t ms = read(name, std::int64_t{0});
    return Time{std::chrono::milliseconds{ms < 0 || ms > last ? 0 : ms}};
  };
  dead.attempts = read(dead_header::attempts, std::uint32_t{0});
  dead.time = time(dead_header::time);
  dead.first_time = time(dead_header::first_time);
  return dead;
}

/// The topic that dead letters go to when no `dead_letter` stage names one.
inline std::string default_dead_letter_topic(std::string_view topic, std::string_view group) {
  std::string name{topic};
  if (!group.empty()) name.append(".").append(group);
  return name.append(".dlq");
}

/// Takes the original headers away from a dead letter that is too large with them, and says so. False
/// when there are none.
inline bool cut_headers(Message& dead) {
  Headers kept;
  std::size_t cut = 0;
  for (const Header header : dead.headers) {
    if (header.name.starts_with(dead_header::prefix)) {
      kept.add(header.name, header.value);
    } else {
      ++cut;
    }
  }
  if (cut == 0) return false;
  kept.add(dead_header::cut, std::to_string(cut));
  dead.headers = std::move(kept);
  return true;
}

/// Writes the dead letter of a delivery to `topic` and marks the delivery, once its burial guard knows of
/// it. When one of that fails, the error asks for another try, with back-off, and the delivery remembers
/// that only the dead letter is still to be written. Blocks until guard and broker have answered. Lifetime:
/// `topic` must outlive the delivery.
inline Result<> bury(Delivery& delivery, const Error& error, const std::string& topic) {
  DeliveryContext& context = delivery.context();
  const auto stays = [&](const Error& why) {
    auto& history = delivery.remember(error, context.clock().now());
    history.given_up = true;
    history.dead_letter_topic = topic;
    Error again = why;
    again.operation = "dead-letter to " + topic;
    again.context += "; the message stays and the dead letter is tried again";
    again.retryable = true;
    ++history.burials;
    if (!again.again()) again.retry_after = backoff(Backoff{}, history.burials, context.random());
    return again;
  };
  if (BurialGuard* guard = delivery.burial_guard()) {
    if (const Result<> noted = guard->before_burial(delivery, topic); !noted) return stays(noted.error());
  }
  const Delivery::History* past = delivery.history();
  const Duration tried_for = past ? context.clock().now() - past->first_failure : Duration{};
  Message dead = make_dead_letter(delivery, error, context.clock().wall(), tried_for);
  Result<Receipt> sent = context.publish(topic, dead.view());
  if (!sent && sent.error().code == Errc::too_large && cut_headers(dead)) {
    sent = context.publish(topic, dead.view());
  }
  if (!sent) return stays(sent.error());
  delivery.mark_dead_lettered(topic);
  context.notify(DeliveryEvent::dead_lettered, delivery, &error);
  return {};
}

/// Publishes what the stages to its left gave up on to a dead-letter topic, and counts it as
/// settled once the broker has confirmed it. When the dead-letter topic refuses, the message stays
/// and only the dead letter is tried again; the handler does not run again.
class DeadLetterStage {
 public:
  static constexpr Rank rank = Rank::recover;

  explicit DeadLetterStage(std::string topic) : topic_{std::move(topic)} {}

  Result<> operator()(Next next, Delivery& delivery) const {
    const Delivery::History* past = delivery.history();
    if (delivery.given_up() && past->dead_letter_topic == topic_) {
      return bury(delivery, Error{past->last_error}, topic_);
    }
    Result<> result = detail::guarded([&] { return next(delivery); });
    if (result || result.error().again() || result.error().code == Errc::interrupted) return result;
    return bury(delivery, result.error(), topic_);
  }

  std::vector<std::string> outputs() const { return {topic_}; }

 private:
  std::string topic_;
};

}  // namespace omnibus
