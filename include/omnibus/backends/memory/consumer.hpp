// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/memory/broker.hpp>
#include <omnibus/backends/memory/group.hpp>
#include <omnibus/detail/smaller.hpp>

// One subscription on the in-process broker: reads the log for its group, and settles.

namespace omnibus::memory {

/// One subscription on a topic. Owned by the dispatcher's thread, but for `wake`.
class Consumer {
 public:
  Consumer(std::shared_ptr<Broker> broker, const SubscriptionSpec& spec)
      : broker_{std::move(broker)},
        clock_{broker_->clock()},
        topic_{broker_->topic(spec.topic)},
        topic_name_{spec.topic},
        reader_{spec.group.empty() || spec.use == Use::look},
        picks_{spec.use == Use::pick},
        looked_at_{reader_ ? topic_.find_group(spec.group) : nullptr},
        group_name_{reader_ ? reader_name() : spec.group},
        group_{topic_.group(group_name_, spec.start, start_lost_)},
        sleeper_{broker_->clock()} {
    topic_.watch(sleeper_);
    std::lock_guard lock{group_->mutex};
    group_->group.join(self_);
    topic_.ring_all();
  }
  ~Consumer() { leave(); }
  Consumer(const Consumer&) = delete;

  void poll(Intake& intake, Instant until) {
    report(intake);
    give_up_partitions(intake);
    while (!read(intake)) {
      topic_.falls_asleep();  // before looking: news that come while looking ring
      const bool full = intake.room() == 0;
      const Instant due = full ? Instant::max() : detail::smaller(topic_.move_due(), next_later());
      const Instant next = detail::smaller(until, due);
      const bool nothing_new = full || caught_up();
      if (!woken_.load() && nothing_new && clock_.now() < next) sleeper_.sleep(next);
      topic_.wakes_up();
      give_up_partitions(intake);
      if (woken_.exchange(false) || clock_.now() >= until) return;
    }
  }

  void settle(std::span<const Settlement> settlements) {
    if (left_) return;
    const bool news = [this, settlements] {
      std::lock_guard lock{group_->mutex};
      for (const Settlement& each : settlements) settle_one(each);
      return group_->group.take_news();
    }();
    topic_.room_made();
    if (news) topic_.ring_all();
  }

  void wake() {
    woken_.store(true);
    sleeper_.ring();
  }

  Result<> close(Instant) {
    leave();
    return {};
  }

 private:
  static constexpr std::uint64_t later_bit = 1;  // records are aligned: their addresses are even

  std::string reader_name() const {
    return "(reader " + std::to_string(reinterpret_cast<std::uintptr_t>(this)) + ")";
  }

  void report(Intake& intake) {
    if (std::exchange(reported_, true)) return;
    if (start_lost_) {
      const Error lost = Error::make(Errc::position_lost, "subscribe " + topic_name_,
                                     "the log no longer holds the start; it begins later");
      intake.report(&lost);
    } else {
      intake.report(nullptr);
    }
  }

  /// Hands over what there is. Returns whether there was anything.
  bool read(Intake& intake) {
    topic_.move_due();
    if (intake.room() == 0) return false;
    std::lock_guard lock{group_->mutex};
    bool any = read_later(intake);
    Group& group = group_->group;
    if (group.later().size() >= broker_->limits().delayed) return any;  // back-pressure
    group.catch_up(self_);
    const std::uint64_t end = topic_.end();
    while (self_.next < end && intake.room() > 0) {
      const Record* record = self_.last != nullptr
                                 ? self_.last->next.load(std::memory_order_relaxed)
                                 : topic_.find(self_.next);
      ++self_.next;
      self_.last = record;
      std::uint32_t attempts = 0;
      if (!group.take(self_, *record, attempts)) continue;
      if (is_finished(record->position)) {
        group.done(self_, *record);
        continue;
      }
      intake.deliver({&record->message, topic_name_, group.partition_of(*record),
                      {record->position, 0}, attempts,
                      reinterpret_cast<std::uint64_t>(record)});
      any = true;
    }
    return any;
  }

  /// True when the group that is only looked at has finished it.
  bool is_finished(std::uint64_t position) const {
    if (!looked_at_) return false;
    std::lock_guard lock{looked_at_->mutex};
    return looked_at_->group.is_done(position);
  }

  bool read_later(Intake& intake) {
    auto& later = group_->group.later();
    if (later.empty()) return false;
    const Instant now = clock_.now();
    bool any = false;
    for (auto it = later.begin(); it != later.end() && it->first <= now && intake.room() > 0; ++it) {
      LaterMessage& each = it->second;
      if (each.holder != nullptr || !group_->group.may_take(self_, each.partition)) continue;
      each.holder = &self_;
      const std::uint64_t token = later_bit | (++last_later_ << 1);
      Held& held = held_.emplace(token, Held{it, each.message.view()}).first->second;
      intake.deliver({&held.view, topic_name_, each.partition, {each.position, 0}, each.attempts,
                      token});
      any = true;
    }
    return any;
  }

  Instant next_later() {
    std::lock_guard lock{group_->mutex};
    for (const auto& [due, later] : group_->group.later()) {
      if (later.holder == nullptr && group_->group.may_take(self_, later.partition)) return due;
    }
    return Instant::max();
  }

  bool caught_up() {
    std::lock_guard lock{group_->mutex};
    group_->group.catch_up(self_);
    return self_.next >= topic_.end() && self_.to_give_up.empty();
  }

  void give_up_partitions(Intake& intake) {
    std::vector<std::int32_t> partitions;
    {
      std::lock_guard lock{group_->mutex};
      partitions.swap(self_.to_give_up);
    }
    for (const std::int32_t partition : partitions) intake.revoke(partition, Instant::min());
  }

  void settle_one(const Settlement& settlement) {
    // What a picking consumer gives back would come to it again at once: it is free when this one leaves.
    if (picks_ && settlement.kind == Settlement::Kind::release) return;
    if ((settlement.token & later_bit) != 0) return settle_later(settlement);
    Group& group = group_->group;
    const auto& record = *reinterpret_cast<const Record*>(settlement.token);
    switch (settlement.kind) {
      case Settlement::Kind::release: return group.release(self_, record, settlement.attempts);
      case Settlement::Kind::later:
        group.keep_for(after(clock_.now(), settlement.delay),
                       {Message{record.message}, record.position, settlement.attempts,
                        group.partition_of(record), nullptr});
        break;
      case Settlement::Kind::done: break;
    }
    group.done(self_, record);
  }

  void settle_later(const Settlement& settlement) {
    const auto held = held_.find(settlement.token);
    auto& later = group_->group.later();
    LaterMessage message = std::move(held->second.where->second);
    later.erase(held->second.where);
    held_.erase(held);
    if (settlement.kind == Settlement::Kind::done) return;
    message.holder = nullptr;
    message.attempts = settlement.attempts;
    group_->group.keep_for(after(clock_.now(), settlement.delay), std::move(message));
  }

  void leave() {
    if (std::exchange(left_, true)) return;
    topic_.unwatch(sleeper_);
    {
      std::lock_guard lock{group_->mutex};
      group_->group.leave(self_);
    }
    if (reader_) topic_.forget(group_name_);
    topic_.room_made();
    topic_.ring_all();
    sleeper_.retire();
  }

  struct Held {
    std::multimap<Instant, LaterMessage>::iterator where;
    MessageView view;
  };

  const std::shared_ptr<Broker> broker_;
  const Clock& clock_;
  Topic& topic_;
  const std::string topic_name_;
  const bool reader_;
  const bool picks_;
  const std::shared_ptr<GuardedGroup> looked_at_;
  const std::string group_name_;
  bool start_lost_ = false;
  const std::shared_ptr<GuardedGroup> group_;
  Member self_;
  Sleeper sleeper_;
  std::atomic<bool> woken_{false};
  std::map<std::uint64_t, Held> held_;
  std::uint64_t last_later_ = 0;
  bool reported_ = false;
  bool left_ = false;
};

}  // namespace omnibus::memory
