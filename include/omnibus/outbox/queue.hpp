// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <omnibus/detail/smaller.hpp>
#include <omnibus/message.hpp>
#include <omnibus/outbox/file.hpp>
#include <omnibus/time.hpp>

// Which message of an outbox may be sent now. Decides and does nothing else.

namespace omnibus::outbox {

/// What has been read of an outbox and not been marked. Of each key one message at a time is on its way, so that
/// none is overtaken by what comes later, whatever becomes of it. A key whose message has failed is on hold: it has
/// nothing in memory but the position to read it from again, and others go on.
/// Messages without a key are each a key of their own.
/// Thread safety: one thread at a time.
class Queue {
 public:
  /// A message that may be sent now.
  struct Ready {
    std::int64_t position;
    std::string topic;
    Message message;
  };
  enum class Turn : std::uint8_t {
    known,  ///< it was read before
    held,   ///< its key is on hold
    send,   ///< now
    wait,   ///< another one of its key is on its way; it is kept
  };

  /// Takes note of a message that was read. What is read again comes again in order.
  Turn offer(const Stored& stored) {
    if (known_.contains(stored.position)) return Turn::known;
    name_.assign(stored.topic).push_back('\0');
    if (stored.message.key.empty()) {
      name_.push_back('\0');  // of no key
      name_.append(reinterpret_cast<const char*>(&stored.position), sizeof stored.position);
    } else {
      name_.append(stored.message.key);
    }
    const auto [found, is_new] = keys_.try_emplace(name_);
    Key& key = found->second;
    if (is_new) key.name = &found->first;
    if (key.held_from != 0) return Turn::held;
    const std::size_t bytes = size_of(stored);
    bytes_ += bytes;
    known_.emplace(stored.position, Entry{&key, bytes});
    if (key.in_flight != 0) {
      ++waiting_;
      key.waiting.push_back({stored.position, std::string{stored.topic}, Message{stored.message}});
      return Turn::wait;
    }
    send(key, stored.position);
    return Turn::send;
  }

  /// The broker has it. Returns what comes next of its key, which is on its way now.
  std::optional<Ready> confirmed(std::int64_t position) {
    Entry& entry = known_.at(position);
    Key& key = *std::exchange(entry.key, nullptr);
    bytes_ -= std::exchange(entry.bytes, 0);
    unmarked_.push_back(position);
    --in_flight_;
    key.in_flight = 0;
    if (std::exchange(key.failures, 0) != 0) --troubled_;
    if (key.waiting.empty()) {
      keys_.erase(keys_.find(*key.name));
      return std::nullopt;
    }
    Ready next = std::move(key.waiting.front());
    key.waiting.pop_front();
    --waiting_;
    send(key, next.position);
    return next;
  }

  /// How often in a row the key of this message has failed.
  std::uint32_t failures(std::int64_t position) const { return known_.at(position).key->failures; }

  /// The broker may not have it: its key is on hold until then. `refused`: it will not take it as it is.
  void failed(std::int64_t position, Instant until, bool refused) {
    Key& key = *known_.at(position).key;
    for (const Ready& each : key.waiting) forget(each.position);
    waiting_ -= key.waiting.size();
    key.waiting.clear();
    forget(position);
    --in_flight_;
    key.in_flight = 0;
    if (key.failures++ == 0) ++troubled_;
    key.held_from = position;
    key.until = until;
    key.refused = refused;
    ++held_;
    refused_ += refused ? 1 : 0;
    next_release_ = detail::smaller(next_release_, until);
  }

  /// When the next key comes off hold; Instant::max(): none is.
  Instant next_release() const noexcept { return next_release_; }
  /// Takes keys off hold whose time has come. Returns the first position that is to be read again.
  std::optional<std::int64_t> release(Instant now) {
    std::optional<std::int64_t> from;
    if (now < next_release_) return from;
    next_release_ = Instant::max();
    for (auto& [name, key] : keys_) {
      if (key.held_from == 0) continue;
      if (key.until > now) {
        next_release_ = detail::smaller(next_release_, key.until);
        continue;
      }
      from = from ? detail::smaller(*from, key.held_from) : key.held_from;
      key.held_from = 0;
      --held_;
      refused_ -= std::exchange(key.refused, false) ? 1 : 0;
    }
    return from;
  }
  /// All was read: a key that came off hold and was not seen again has nothing left.
  void read_all() {
    if (troubled_ == held_) return;
    for (auto each = keys_.begin(); each != keys_.end();) {
      const Key& key = each->second;
      const bool gone = key.failures != 0 && key.held_from == 0 && key.in_flight == 0;
      troubled_ -= gone ? 1 : 0;
      each = gone ? keys_.erase(each) : std::next(each);
    }
  }

  /// What the broker has and the outbox has still.
  std::span<std::int64_t> unmarked() noexcept { return unmarked_; }
  /// They are out of it.
  void marked() {
    for (const std::int64_t position : unmarked_) known_.erase(position);
    unmarked_.clear();
  }
  /// Begins anew.
  void clear() { *this = Queue{}; }

  std::size_t size() const noexcept { return known_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }            ///< of what is on its way or waits
  std::size_t in_flight() const noexcept { return in_flight_; }
  std::size_t waiting() const noexcept { return waiting_; }        ///< for another one of their key
  std::size_t held() const noexcept { return held_; }              ///< keys
  std::size_t refused() const noexcept { return refused_; }        ///< keys of them

 private:
  struct Key {
    const std::string* name = nullptr;
    std::int64_t in_flight = 0;  ///< its position; 0: none
    std::int64_t held_from = 0;  ///< 0: it is not on hold
    Instant until{};
    std::uint32_t failures = 0;
    bool refused = false;
    std::list<Ready> waiting{};  ///< unlike a deque, it costs nothing while it is empty
  };
  struct Entry {
    Key* key;  ///< null once it was confirmed
    std::size_t bytes;
  };
  static std::size_t size_of(const Stored& stored) noexcept {
    return stored.message.payload.size() + stored.message.headers.block().size();
  }
  void send(Key& key, std::int64_t position) noexcept {
    key.in_flight = position;
    ++in_flight_;
  }
  void forget(std::int64_t position) {
    const auto entry = known_.find(position);
    bytes_ -= entry->second.bytes;
    known_.erase(entry);
  }

  std::unordered_map<std::string, Key> keys_;
  std::unordered_map<std::int64_t, Entry> known_;
  std::vector<std::int64_t> unmarked_;
  std::string name_;  // of the key at hand
  std::size_t bytes_ = 0;
  std::size_t in_flight_ = 0, waiting_ = 0;
  std::size_t held_ = 0, refused_ = 0;
  std::size_t troubled_ = 0;  // keys with failures
  Instant next_release_ = Instant::max();
};

}  // namespace omnibus::outbox
