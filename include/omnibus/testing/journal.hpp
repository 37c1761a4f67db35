// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/clock.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// An observer that writes down what happens to deliveries, for tests to look at.

namespace omnibus::testing {

/// One thing that happened to a delivery. A plain value; copies are independent.
struct Record {
  DeliveryEvent event = DeliveryEvent::delivered;
  Duration at{};                  ///< since the journal began, on the clock of the bus
  std::string topic;              ///< where the message came from
  std::string group;
  std::string key;
  std::string id;
  std::string payload;
  std::uint32_t attempt = 0;      ///< from 1
  std::optional<Error> error;     ///< of what is tried again, a dead letter, or out of sequence
  std::string dead_letter_topic;  ///< where its dead letter stands
};

namespace detail {

/// A length of time as seconds, with the decimals that it has: "3600.5s".
inline std::string in_seconds(Duration time) {
  std::string text = std::to_string(time.count() / 1'000'000'000);
  if (const auto fraction = time.count() % 1'000'000'000; fraction != 0) {
    std::string digits = std::to_string(fraction);
    digits.insert(0, 9 - digits.size(), '0');
    text.append(".").append(digits, 0, digits.find_last_not_of('0') + 1);
  }
  return text.append("s");
}

/// The beginning of a payload, with dots for what cannot be printed.
inline std::string excerpt(std::string_view payload) {
  constexpr std::size_t most = 40;
  std::string text{payload.substr(0, most)};
  for (char& each : text) {
    if (each < ' ' || each > '~') each = '.';
  }
  return payload.size() > most ? text.append("...") : text;
}

}  // namespace detail

/// One line for a person:
/// `2s retrying orders/billing "o-1", key alice, attempt 1: handle: busy (handler_failed, retryable), again
/// in 4s`.
inline std::string to_line(const Record& record) {
  std::string line = detail::in_seconds(record.at).append(" ").append(to_string(record.event));
  line.append(" ").append(record.topic).append("/").append(record.group);
  line.append(" \"").append(detail::excerpt(record.payload)).append("\"");
  if (!record.key.empty()) line.append(", key ").append(record.key);
  line.append(", attempt ").append(std::to_string(record.attempt));
  if (!record.dead_letter_topic.empty()) line.append(", to ").append(record.dead_letter_topic);
  if (record.error) line.append(": ").append(record.error->message());
  if (record.event == DeliveryEvent::retrying && record.error->again()) {
    line.append(", again in ").append(detail::in_seconds(record.error->retry_after));
  }
  return line;
}

/// Those of the attempts that began, as their `delivered` records, which have not ended yet. A pure function.
inline std::vector<Record> still_running(const std::vector<Record>& records) {
  std::vector<Record> running;
  for (const Record& record : records) {
    if (record.event == DeliveryEvent::out_of_sequence) continue;
    for (auto each = running.begin(); each != running.end(); ++each) {
      if (each->id != record.id || each->topic != record.topic || each->group != record.group) continue;
      running.erase(each);
      break;
    }
    if (record.event == DeliveryEvent::delivered) running.push_back(record);
  }
  return running;
}

/// An observer that keeps a Record of everything it is told about deliveries, in the order in which it
/// happened.
/// Thread safety: shared objects are safe. Lifetime: the clock must outlive it.
/// Unbounded: it is for tests.
class Journal {
 public:
  explicit Journal(const Clock& clock) : clock_{clock}, start_{clock.now()} {}

  /// How long ago it began.
  Duration now() const { return clock_.now() - start_; }
  /// Everything that happened.
  std::vector<Record> records() const {
    std::lock_guard lock{mutex_};
    return records_;
  }
  /// Of these, what happened to the messages of a topic in one way. An empty topic stands for all.
  std::vector<Record> records(DeliveryEvent event, std::string_view topic) const {
    std::lock_guard lock{mutex_};
    std::vector<Record> some;
    for (const Record& each : records_) {
      if (each.event == event && (topic.empty() || each.topic == topic)) some.push_back(each);
    }
    return some;
  }

  void delivered(const Delivery& delivery) { keep(DeliveryEvent::delivered, delivery); }
  void handled(const Delivery& delivery) { keep(DeliveryEvent::handled, delivery); }
  void retrying(const Delivery& delivery, const Error& error) {
    keep(DeliveryEvent::retrying, delivery, &error);
  }
  void dead_lettered(const Delivery& delivery, const Error& error) {
    keep(DeliveryEvent::dead_lettered, delivery, &error);
  }
  void dropped(const Delivery& delivery) { keep(DeliveryEvent::dropped, delivery); }
  void duplicate(const Delivery& delivery) { keep(DeliveryEvent::duplicate, delivery); }
  void given_back(const Delivery& delivery) { keep(DeliveryEvent::given_back, delivery); }
  void out_of_sequence(const Delivery& delivery, const Error& error) {
    keep(DeliveryEvent::out_of_sequence, delivery, &error);
  }

 private:
  void keep(DeliveryEvent event, const Delivery& delivery, const Error* error = nullptr) {
    Record record{event, {}, std::string{delivery.topic()}, std::string{delivery.group()},
                  std::string{delivery.key()}, std::string{delivery.id()},
                  std::string{delivery.payload()}, delivery.attempt(),
                  error != nullptr ? std::optional{*error} : std::nullopt,
                  std::string{delivery.dead_letter_topic()}};
    std::lock_guard lock{mutex_};
    record.at = now();  // under the lock, so that times never go back
    records_.push_back(std::move(record));
  }

  const Clock& clock_;
  const Instant start_;
  mutable std::mutex mutex_;
  std::vector<Record> records_;
};

}  // namespace omnibus::testing
