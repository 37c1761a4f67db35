// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/delivery.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/mermaid.hpp>

// An observer that remembers what happened lately, to tell the story of one message.

namespace omnibus {

/// What `Recorder` keeps.
struct RecorderOptions {
  std::size_t most = 1000;  ///< transitions; the oldest give way. One takes at most 2 KiB
};

/// An observer that remembers the last transitions of messages, and draws those of one message.
///
///     ob::Recorder recorder;
///     ob::EventBus<ob::Memory, ob::Recorder> bus{{.group = "billing"}, recorder};
///     ...
///     std::cout << recorder.mermaid(id);
///
/// What bytes a message has, its key and headers are not kept; the text of errors is, up to 200 bytes.
/// Thread safety: all members may be called from any thread; they take a lock, and every message reads its
/// id. It is for tests, and for looking at what goes wrong; `Metrics` is for every day.
/// Lifetime: it must outlive the bus.
class Recorder {
 public:
  /// Errors: throws std::invalid_argument when nothing is to be kept.
  explicit Recorder(RecorderOptions options = {}) : most_{options.most} {
    if (most_ == 0) throw std::invalid_argument{"omnibus: Recorder: most must be at least 1"};
  }

  void published(std::string_view topic, const MessageView& message, const Result<Receipt>& result) {
    record(message.id, [&](Transition& step) {
      step.kind = result ? Transition::Kind::published : Transition::Kind::not_published;
      step.topic = cut(topic);
      if (!result) add_error(step, result.error());
    });
  }
  void delivered(const Delivery& delivery) { record(delivery, Transition::Kind::delivered); }
  void handled(const Delivery& delivery) { record(delivery, Transition::Kind::handled); }
  void retrying(const Delivery& delivery, const Error& error) {
    record(delivery, Transition::Kind::retrying, &error);
  }
  void dead_lettered(const Delivery& delivery, const Error& error) {
    record(delivery, Transition::Kind::dead_lettered, &error);
  }
  void dropped(const Delivery& delivery) { record(delivery, Transition::Kind::dropped); }
  void duplicate(const Delivery& delivery) { record(delivery, Transition::Kind::duplicate); }
  void given_back(const Delivery& delivery) { record(delivery, Transition::Kind::given_back); }
  void out_of_sequence(const Delivery& delivery, const Error& error) {
    record(delivery, Transition::Kind::out_of_sequence, &error);
  }

  /// What happened to a message, oldest first, as far as it is remembered.
  std::vector<Transition> transitions(std::string_view message_id) const {
    const detail::Hash128 id = detail::hash128(message_id);
    std::vector<Transition> steps;
    std::lock_guard lock{mutex_};
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      const Kept& each = kept_[(next_ + i) % kept_.size()];
      if (each.id == id) steps.push_back(each.step);
    }
    return steps;
  }

  /// A Mermaid sequence diagram of that; empty when nothing is remembered of the message.
  std::string mermaid(std::string_view message_id) const { return mermaid_of(transitions(message_id)); }

 private:
  struct Kept {
    detail::Hash128 id;  // an id may be long
    Transition step;
  };

  /// The beginning of a text, at most so many bytes, without a part of a character of UTF-8.
  static std::string_view cut(std::string_view text, std::size_t most = 255) noexcept {
    if (text.size() <= most) return text;
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
    return text.substr(0, most);
  }
  static void add_error(Transition& step, const Error& error) {
    step.code = error.code;
    step.why = cut(error.context, 200);
    step.again_after = error.retry_after;
  }

  template <class Fill>
  void record(std::string_view id, Fill fill) {
    Kept kept{detail::hash128(id), {}};
    fill(kept.step);
    std::lock_guard lock{mutex_};
    if (kept_.size() < most_) {
      kept_.push_back(std::move(kept));
    } else {
      kept_[next_] = std::move(kept);
      next_ = (next_ + 1) % most_;
    }
  }
  void record(const Delivery& delivery, Transition::Kind kind, const Error* error = nullptr) {
    record(delivery.id(), [&](Transition& step) {
      step.kind = kind;
      step.topic = cut(delivery.topic());
      step.group = cut(delivery.group());
      step.attempt = delivery.attempt();
      step.dead_letter_topic = cut(delivery.dead_letter_topic());
      if (error != nullptr) add_error(step, *error);
    });
  }

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::vector<Kept> kept_;  // a ring once it is full
  std::size_t next_ = 0;    // the oldest then
};

}  // namespace omnibus
