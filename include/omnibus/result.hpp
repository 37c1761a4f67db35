// SPDX-License-Identifier: MIT
#pragma once

#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <omnibus/error.hpp>

// Result<T>: a value or an Error. The part of C++23's std::expected that omnibus needs; it becomes
// an alias of that when the library moves to C++23.

namespace omnibus {

/// What `Result::value()` throws when there is no value.
class BadResult : public std::runtime_error {
 public:
  explicit BadResult(Error error)
      : std::runtime_error{error.message()}, error_{std::move(error)} {}
  /// The error that was found in place of the value.
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

/// A value of type T, or the Error that stands in its place. `Result<>` has success alone.
/// Thread safety: distinct objects: safe. Shared objects: const members are safe.
template <class T = void>
class [[nodiscard("a Result tells whether it worked; check it or call .value()")]] Result {
 public:
  Result(T value) : has_value_{true} { ::new (&value_) T(std::move(value)); }
  Result(Error error) : has_value_{false} { ::new (&error_) Error(std::move(error)); }
  Result(const Result& other) : has_value_{other.has_value_} {
    if (has_value_) {
      ::new (&value_) T(other.value_);
    } else {
      ::new (&error_) Error(other.error_);
    }
  }
  Result(Result&& other) noexcept : has_value_{other.has_value_} {
    if (has_value_) {
      ::new (&value_) T(std::move(other.value_));
    } else {
      ::new (&error_) Error(std::move(other.error_));
    }
  }
  Result& operator=(Result other) noexcept {
    this->~Result();
    return *::new (this) Result(std::move(other));
  }
  ~Result() {
    if (has_value_) {
      value_.~T();
    } else {
      error_.~Error();
    }
  }

  /// True when there is a value.
  explicit operator bool() const noexcept { return has_value_; }
  bool has_value() const noexcept { return has_value_; }

  /// The value. Errors: throws BadResult when there is none.
  T& value() & { return check(), value_; }
  const T& value() const& { return check(), value_; }
  T&& value() && { return check(), std::move(value_); }
  /// The value, which must be there.
  T& operator*() noexcept { return value_; }
  const T& operator*() const noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  const T* operator->() const noexcept { return &value_; }

  /// The error, which must be there: `if (!result) log(result.error())`.
  const Error& error() const noexcept { return error_; }
  Error& error() noexcept { return error_; }

 private:
  void check() const {
    if (!has_value_) throw BadResult{error_};
  }

  bool has_value_;
  union {
    T value_;
    Error error_;
  };
};

/// Success, or the Error that stands in its place.
template <>
class [[nodiscard("a Result tells whether it worked; check it or call .value()")]] Result<void> {
 public:
  Result() noexcept : has_value_{true} {}
  Result(Error error) : has_value_{false} { ::new (&error_) Error(std::move(error)); }
  Result(const Result& other) : has_value_{other.has_value_} {
    if (!has_value_) ::new (&error_) Error(other.error_);
  }
  Result(Result&& other) noexcept : has_value_{other.has_value_} {
    if (!has_value_) ::new (&error_) Error(std::move(other.error_));
  }
  Result& operator=(Result other) noexcept {
    this->~Result();
    return *::new (this) Result(std::move(other));
  }
  ~Result() {
    if (!has_value_) error_.~Error();
  }

  /// True on success.
  explicit operator bool() const noexcept { return has_value_; }
  bool has_value() const noexcept { return has_value_; }
  /// Does nothing on success. Errors: throws BadResult otherwise.
  void value() const {
    if (!has_value_) throw BadResult{error_};
  }
  /// The error, which must be there.
  const Error& error() const noexcept { return error_; }
  Error& error() noexcept { return error_; }

 private:
  bool has_value_;
  union {
    Error error_;
  };
};

}  // namespace omnibus
