// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

// A callable that is owned and moved, never copied: C++23's std::move_only_function, as far as
// omnibus needs it. Callables of up to 40 bytes are kept inside.

namespace omnibus::detail {

template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
             std::is_invocable_r_v<R, F&, Args...>)
  UniqueFunction(F&& f) : table_{&table_for<std::decay_t<F>>} {
    using Callable = std::decay_t<F>;
    if constexpr (is_small<Callable>) {
      ::new (static_cast<void*>(space_)) Callable(std::forward<F>(f));
    } else {
      ::new (static_cast<void*>(space_)) Callable*(new Callable(std::forward<F>(f)));
    }
  }
  UniqueFunction(UniqueFunction&& other) noexcept : table_{other.table_} {
    if (table_) table_->move(other.space_, space_);
    other.table_ = nullptr;
  }
  UniqueFunction& operator=(UniqueFunction&& other) noexcept {
    if (this != &other) {
      reset();
      table_ = std::exchange(other.table_, nullptr);
      if (table_) table_->move(other.space_, space_);
    }
    return *this;
  }
  ~UniqueFunction() { reset(); }

  explicit operator bool() const noexcept { return table_ != nullptr; }
  R operator()(Args... args) { return table_->call(space_, std::forward<Args>(args)...); }

 private:
  static constexpr std::size_t room = 40;

  struct Table {
    R (*call)(void*, Args&&...);
    void (*move)(void* from, void* to) noexcept;
    void (*destroy)(void*) noexcept;
  };

  template <class F>
  static constexpr bool is_small = sizeof(F) <= room && alignof(F) <= alignof(std::max_align_t) &&
                                   std::is_nothrow_move_constructible_v<F>;

  template <class F>
  static F& at(void* space) noexcept {
    if constexpr (is_small<F>) {
      return *static_cast<F*>(space);
    } else {
      return **static_cast<F**>(space);
    }
  }

  template <class F>
  static constexpr Table table_for{
      [](void* space, Args&&... args) -> R {
        if constexpr (std::is_void_v<R>) {
          at<F>(space)(std::forward<Args>(args)...);
        } else {
          return at<F>(space)(std::forward<Args>(args)...);
        }
      },
      [](void* from, void* to) noexcept {
        if constexpr (is_small<F>) {
          ::new (to) F(std::move(at<F>(from)));
          at<F>(from).~F();
        } else {
          ::new (to) F*(*static_cast<F**>(from));
        }
      },
      [](void* space) noexcept {
        if constexpr (is_small<F>) {
          at<F>(space).~F();
        } else {
          delete *static_cast<F**>(space);
        }
      }};

  void reset() noexcept {
    if (table_) std::exchange(table_, nullptr)->destroy(space_);
  }

  const Table* table_ = nullptr;
  alignas(std::max_align_t) std::byte space_[room];
};

}  // namespace omnibus::detail
