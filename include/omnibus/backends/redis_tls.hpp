// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <omnibus/backends/redis/transport.hpp>
#include <omnibus/detail/wakeup.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// TLS for Redis, by OpenSSL: hiredis before 1.0 has none, and later versions neither check whose certificate
// it is nor write without SIGPIPE. The component redis_tls, so that who needs none links no OpenSSL.

namespace omnibus {

/// What secures rediss:// connections. The server's certificate and the name or address in it are checked
/// always. Files are PEM.
struct RedisTls {
  std::string ca = {};            ///< a file of certificates that are trusted; empty: the system's
  std::string certificate = {};   ///< a file with the client's certificate, and those between it and the ca
  std::string key = {};           ///< a file with the private key that belongs to it
  std::string key_password = {};  ///< of that file
};

namespace redis {

namespace tls {

struct Free {
  void operator()(SSL_CTX* each) const noexcept { SSL_CTX_free(each); }
  void operator()(SSL* each) const noexcept { SSL_free(each); }
  void operator()(BIO_METHOD* each) const noexcept { BIO_meth_free(each); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// What OpenSSL complained about last, on this thread.
inline std::string complaint() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "the server ended the connection";
}

/// Lets OpenSSL use a socket as we do: its own way would raise SIGPIPE.
inline const BIO_METHOD* socket_method() {
  static const auto fd_of = [](BIO* bio) {
    return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
  };
  static const Owned<BIO_METHOD> method = [] {
    Owned<BIO_METHOD> made{BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "omnibus")};
    if (!made) throw std::bad_alloc{};
    BIO_meth_set_write(made.get(), [](BIO* bio, const char* bytes, int size) {
      BIO_clear_retry_flags(bio);
      const Moved moved = write_now(fd_of(bio), bytes, static_cast<std::size_t>(size));
      // Who has hung up may have said why before: whoever reads finds out.
      if (moved <= 0) BIO_set_retry_write(bio);
      return moved > 0 ? static_cast<int>(moved) : -1;
    });
    BIO_meth_set_read(made.get(), [](BIO* bio, char* bytes, int size) {
      BIO_clear_retry_flags(bio);
      const Moved moved = read_now(fd_of(bio), bytes, static_cast<std::size_t>(size));
      if (moved == 0) BIO_set_retry_read(bio);
      return moved > 0 ? static_cast<int>(moved) : moved == 0 ? -1 : 0;
    });
    BIO_meth_set_ctrl(made.get(), [](BIO*, int command, long, void*) {
      return command == BIO_CTRL_FLUSH ? 1L : 0L;
    });
    return made;
  }();
  return method.get();
}

/// A socket with TLS on it.
class TlsTransport final : public Transport {
 public:
  explicit TlsTransport(Owned<SSL> ssl) noexcept : ssl_{std::move(ssl)} {}
  ~TlsTransport() override {
    ERR_clear_error();
    if (!over_) (void)SSL_shutdown(ssl_.get());  // says goodbye; nobody waits for the answer
    ERR_clear_error();
  }

  Moved write(const char* bytes, std::size_t size) noexcept override {
    if (over_) return hung_up;
    ERR_clear_error();
    std::size_t count = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes, size, &count);
    return result == 1 ? static_cast<Moved>(count) : nothing(result);
  }
  Moved read(char* bytes, std::size_t size) noexcept override {
    std::size_t got = 0;
    // A record has 16 KiB at most: more of them may be there.
    while (got < size && !over_) {
      ERR_clear_error();
      std::size_t count = 0;
      const int result = SSL_read_ex(ssl_.get(), bytes + got, size - got, &count);
      if (result != 1) {
        (void)nothing(result);
        break;
      }
      got += count;
    }
    return got == 0 && over_ ? hung_up : static_cast<Moved>(got);
  }
  std::string last_words() const override { return last_words_; }

 private:
  Moved nothing(int result) noexcept {
    const int why = SSL_get_error(ssl_.get(), result);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return 0;
    over_ = true;
    try {
      if (why == SSL_ERROR_SSL) last_words_ = complaint();
    } catch (...) {  // out of memory: less is known
    }
    return hung_up;
  }

  const Owned<SSL> ssl_;
  bool over_ = false;
  std::string last_words_;
};

/// What all connections of a bus share.
class TlsSecurity final : public Security {
 public:
  /// Throws std::invalid_argument.
  explicit TlsSecurity(const RedisTls& options) : context_{SSL_CTX_new(TLS_client_method())} {
    ERR_clear_error();
    if (!context_) throw std::bad_alloc{};
    SSL_CTX* const context = context_.get();
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (options.ca.empty()) {
      require(SSL_CTX_set_default_verify_paths(context) == 1, "the system's certificates cannot be read");
    } else {
      require(SSL_CTX_load_verify_locations(context, options.ca.c_str(), nullptr) == 1,
              ".ca cannot be read: " + options.ca);
    }
    require(options.certificate.empty() == options.key.empty(), ".certificate and .key go together");
    if (options.certificate.empty()) return;
    require(SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) == 1,
            ".certificate cannot be read: " + options.certificate);
    // Without this OpenSSL would ask the terminal.
    SSL_CTX_set_default_passwd_cb(context, [](char* out, int size, int, void* from) {
      const auto& password = *static_cast<const std::string*>(from);
      if (static_cast<std::size_t>(size) < password.size()) return 0;
      std::memcpy(out, password.data(), password.size());
      return static_cast<int>(password.size());
    });
    std::string password = options.key_password;
    SSL_CTX_set_default_passwd_cb_userdata(context, &password);
    const int used = SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
    OPENSSL_cleanse(password.data(), password.size());
    require(used == 1 && SSL_CTX_check_private_key(context) == 1,
            ".key cannot be read, or is not the one of .certificate: " + options.key);
  }

  Result<std::unique_ptr<Transport>> secure(int fd, const std::string& host,
                                            Instant until) const override {
    Owned<SSL> ssl{SSL_new(context_.get())};
    BIO* const bio = ssl ? BIO_new(socket_method()) : nullptr;
    if (bio == nullptr) return Error::make(Errc::internal, "", "out of memory");
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl.get(), bio, bio);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str()) != 1) {
      SSL_set1_host(ssl.get(), host.c_str());
      SSL_set_tlsext_host_name(ssl.get(), host.c_str());
    }
    omnibus::detail::Wakeup nobody_rings;
    while (true) {
      ERR_clear_error();
      const int result = SSL_connect(ssl.get());
      if (result == 1) return std::unique_ptr<Transport>{new TlsTransport{std::move(ssl)}};
      const int why = SSL_get_error(ssl.get(), result);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return refusal(*ssl);
      if (std::chrono::steady_clock::now() >= until) {
        return Error::make(Errc::unavailable, "", "the server does not answer; does it speak TLS there?");
      }
      nobody_rings.wait(fd, why == SSL_ERROR_WANT_READ, why == SSL_ERROR_WANT_WRITE, until);
    }
  }

 private:
  static void require(bool good, const std::string& what) {
    if (good) return;
    ERR_clear_error();
    throw std::invalid_argument{"omnibus: redis tls: " + what};
  }

  static Error refusal(const SSL& ssl) {
    const long verdict = SSL_get_verify_result(&ssl);
    if (verdict == X509_V_OK) {
      return Error::make(Errc::unavailable, "", "TLS: " + complaint() + "; does the server speak it there?");
    }
    ERR_clear_error();
    const bool other = verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;
    return Error::make(Errc::access_denied, "",
                       other ? "the certificate is not for this host"
                             : std::string{X509_verify_cert_error_string(verdict)} +
                                   "; is .ca the authority of the server's certificate?");
  }

  const Owned<SSL_CTX> context_;
};

}  // namespace tls
}  // namespace redis

/// For `.tls` of RedisStreams and RedisPubSub, with an endpoint rediss://. Reads the files now. Throws
/// std::invalid_argument, which names the field.
inline std::shared_ptr<const redis::Security> redis_tls(const RedisTls& options = {}) {
  return std::make_shared<const redis::tls::TlsSecurity>(options);
}

}  // namespace omnibus
