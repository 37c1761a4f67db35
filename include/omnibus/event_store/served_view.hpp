// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/projection.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// A view that is read while it is kept up, and that can be built anew beside the one that is read.

namespace omnibus {

namespace detail {

template <class V, class S>
concept PlainView = std::is_invocable_r_v<Result<>, V&, const StoredEvent&>;

template <class V, class S>
concept TransactionView = HasTransactions<S> && applies_in_transaction<V, S>();

/// Applies events to a view, while nobody reads it.
template <class S, class View>
struct ApplyLocked {
  std::shared_ptr<View> view;
  std::shared_ptr<std::shared_mutex> mutex;

  Result<> operator()(const StoredEvent& event) const
    requires PlainView<View, S>
  {
    const std::lock_guard lock{*mutex};
    return (*view)(event);
  }
  template <class Transaction>
    requires TransactionView<View, S>
  Result<> operator()(const StoredEvent& event, Transaction transaction) const {
    const std::lock_guard lock{*mutex};
    return (*view)(event, transaction);
  }
};

}  // namespace detail

/// A view and the projection that keeps it up, which others can replace without a moment in which there is
/// none: `rebuild` builds a second one from the beginning, and has it served once it knows all that the first
/// one did.
///
/// A view is a callable as Projection's `apply`. `make(name)` makes an empty one, of the projection `name`:
/// one that keeps what it knows in tables names them by it, and one that lives in memory has `.in_memory`.
///
///     ob::ServedView view{store, {.name = "orders", .in_memory = true},
///                         [](const std::string&) { return Orders{}; }};
///     view.catch_up();
///     view.read([](const Orders& orders) { return orders.open(); });
///     view.rebuild("orders.v2");  // on another thread, while this one follows
///
/// Which name is served is known to this object alone: who makes the next one gives it the new name. A
/// rebuild that was broken off goes on where it was, under the same name, when the view is not in memory.
/// Thread safety: shared objects are safe; `read` waits for the event that is applied, and nothing else.
/// Lifetime: the store must outlive it.
template <CheckpointStore S, class Make>
class ServedView {
 public:
  using View = std::invoke_result_t<Make&, const std::string&>;
  static_assert(detail::PlainView<View, S> || detail::TransactionView<View, S>,
                "omnibus: this makes no view. Return a callable Result<>(const StoredEvent&), or one that also "
                "takes the store's Transaction");

  /// Reads nothing yet. Throws std::invalid_argument, and what `make` throws.
  ServedView(S& store, ProjectionOptions options, Make make)
      : store_{store},
        options_{std::move(options)},
        make_{std::move(make)},
        served_{std::make_shared<Build>(store_, options_, make_)} {}

  /// Handles all that is there. Blocking: as long as the store, the view, and others who catch up. Errors:
  /// those of Projection::catch_up.
  Result<> catch_up() {
    const std::lock_guard lock{keeping_up_};
    return served()->projection.catch_up();
  }
  /// Catches up and follows what comes, until this moment, whatever is served by then. Errors: as `catch_up`.
  Result<> follow(Instant until) {
    do {
      if (Result<> done = catch_up(); !done) return done;
      (void)store_.wait_beyond(progress().position, until);
    } while (std::chrono::steady_clock::now() < until);
    return {};
  }
  /// Builds a view under this name from the beginning, and serves it once it has caught up with the one that
  /// is served, which goes on being read and kept up meanwhile, and is dropped when the last one who reads it
  /// is done. It is not served when there is an error. Blocking: as long as all of that takes; one at a time.
  /// Errors: those of Projection::catch_up; invalid_argument, when it is served already.
  Result<> rebuild(const std::string& name) {
    const std::lock_guard one{rebuilding_};
    ProjectionOptions options = options_;
    options.name = name;
    if (served()->name == name || name.empty()) {
      return Error::make(Errc::invalid_argument, "rebuild " + name, "give it a name that is not served");
    }
    const auto next = std::make_shared<Build>(store_, std::move(options), make_);
    if (Result<> built = next->projection.catch_up(); !built) return built;
    const std::lock_guard lock{keeping_up_};  // the served one stands still for what came meanwhile
    if (Result<> built = next->projection.catch_up(); !built) return built;
    const std::lock_guard switching{switching_};
    served_ = next;
    return {};
  }

  /// Calls `with(const View&)` with the view that is served, and returns what it returns. No event is applied
  /// meanwhile.
  template <std::invocable<const View&> Read>
  decltype(auto) read(Read&& with) const {
    const std::shared_ptr<Build> build = served();
    const std::shared_lock lock{*build->mutex};
    return std::forward<Read>(with)(std::as_const(*build->view));
  }
  /// The name under which the view that is served is continued.
  std::string name() const { return served()->name; }
  /// How far it has come. Blocking: as long as others catch up.
  ProjectionProgress progress() const {
    const std::lock_guard lock{keeping_up_};
    return served()->projection.progress();
  }

 private:
  using Apply = detail::ApplyLocked<S, View>;

  struct Build {
    Build(S& store, ProjectionOptions options, Make& make)
        : name{options.name},
          view{std::make_shared<View>(make(name))},
          projection{store, std::move(options), Apply{view, mutex}} {}

    const std::string name;
    const std::shared_ptr<std::shared_mutex> mutex = std::make_shared<std::shared_mutex>();
    const std::shared_ptr<View> view;
    Projection<S, Apply> projection;
  };

  std::shared_ptr<Build> served() const {
    const std::lock_guard lock{switching_};
    return served_;
  }

  S& store_;
  const ProjectionOptions options_;
  Make make_;
  mutable std::mutex keeping_up_;  ///< of the view that is served
  std::mutex rebuilding_;
  mutable std::mutex switching_;
  std::shared_ptr<Build> served_;
};

}  // namespace omnibus
