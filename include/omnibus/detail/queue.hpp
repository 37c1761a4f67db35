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

/// A queue that one thread fills and another empties meanwhile, without a lock.
template <class Item>
class HandedOver {
 public:
  /// The thread that fills it.
  void push(Item* item) noexcept {
    item->next = newest_.load(std::memory_order_relaxed);
    while (!newest_.compare_exchange_weak(item->next, item, std::memory_order_release,
                                          std::memory_order_relaxed)) {
    }
  }
  /// The thread that empties it: everything, in order.
  Queue<Item> take() noexcept {
    Queue<Item> taken;
    Item* item = newest_.exchange(nullptr, std::memory_order_acquire);
    taken.last = item;
    for (; item != nullptr; ++taken.size) {
      Item* older = std::exchange(item->next, taken.first);
      taken.first = std::exchange(item, older);
    }
    return taken;
  }

 private:
  std::atomic<Item*> newest_{nullptr};
};

}  // namespace omnibus::detail
