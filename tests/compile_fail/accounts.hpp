// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <omnibus/event_store/aggregate.hpp>
#include <omnibus/event_store/handlers.hpp>
#include <omnibus/event_store/memory.hpp>

// What a user's program has before it makes a mistake with an aggregate.

namespace ob = omnibus;

template <class E>
struct EmptyCodec {
  static void encode(const E&, std::string&) {}
  static omnibus::Result<E> decode(std::string_view) { return E{}; }
};

struct Opened {};
struct Closed {};
/// An event whose codec nobody wrote.
struct Uncoded {};

template <>
struct omnibus::Codec<Opened> : EmptyCodec<Opened> {
  static constexpr std::string_view type = "opened";
};
template <>
struct omnibus::Codec<Closed> : EmptyCodec<Closed> {
  static constexpr std::string_view type = "closed";
};

struct Account {
  using Events = ob::EventTypes<Opened>;
  bool is_open = false;
};
inline void evolve(Account& account, const Opened&) { account.is_open = true; }
