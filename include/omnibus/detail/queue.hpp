// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

// Queues threaded through their items, which have `Item* next`: nothing is allocated.

namespace omnibus::detail {

/// A singly linked queue of items, threaded through `item->next`.
template <class Item>
struct Queue {
  Item* first = nullptr;
  Item* last = nullptr;
  std::size_t size = 0;

  void push(Item* item) noexcept {
    item->next = nullptr;
    (first ? last->next : first) = item;
    last = item;
    ++size;
  }
  Item* pop() noexcept {
    Item* item = first;
    first = item->next;
    --size;
    return item;
  }
  /// Puts all of `other` behind.
  void append(Queue other) noexcept {
    if (other.first == nullptr) return;
    (first ? last->next : first) = other.first;
    last = other.last;
    size += other.size;
  }
  /// Takes the first `count` items, or all.
  Queue take(std::size_t count) noexcept {
    if (count >= size) return std::exchange(*this, {});
    Queue head;
    while (head.size < count) head.push(pop());
    return head;
  }
  /// Takes the items for which `wanted` holds, in order.
  template <class Wanted>
  Queue extract(Wanted wanted) {
    Queue out, rest;
    while (first != nullptr) {
      Item* item = pop();
      (wanted(*item) ? out : rest).push(item);
    }
    *this = rest;
    return out;
  }
};

/// A queue that one thread fills and another one empties meanwhile, without a lock. The item that was
/// pushed last stays until `take_all`, so that the two never touch the same pointer.
template <class Item>
class HandedOver {
 public:
  /// The thread that fills it.
  void push(Item* item) noexcept {
    item->next = nullptr;
    (last_ ? last_->next : first_) = item;
    last_ = item;
    pushed_.store(item, std::memory_order_release);
  }
  /// The thread that empties it.
  Queue<Item> take() noexcept {
    Queue<Item> taken;
    const Item* last = pushed_.load(std::memory_order_acquire);
    while (last != nullptr && first_ != last) take_first(taken);
    return taken;
  }
  /// When nothing is being pushed any more.
  Queue<Item> take_all() noexcept {
    Queue<Item> taken;
    while (first_ != nullptr) take_first(taken);
    last_ = nullptr;
    pushed_.store(nullptr, std::memory_order_relaxed);
    return taken;
  }

 private:
  void take_first(Queue<Item>& taken) noexcept {
    Item* item = first_;
    first_ = item->next;
    taken.push(item);
  }

  Item* first_ = nullptr;
  Item* last_ = nullptr;
  std::atomic<Item*> pushed_{nullptr};
};

}  // namespace omnibus::detail
