# The images of docker-compose.yml, built from this tree: --target router, sidecar or demo.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin trueroute -p trueroute \
 && cargo build --release --locked --bin trueroute-sidecar -p trueroute-sidecar \
 && cargo build --release --locked --example app --example identities -p trueroute-testkit

# The router also trusts the system's authorities, so they come along.
FROM debian:bookworm-slim AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65534:65534

FROM base AS router
COPY --from=build /src/target/release/trueroute /usr/local/bin/trueroute
ENTRYPOINT ["/usr/local/bin/trueroute"]

FROM base AS sidecar
COPY --from=build /src/target/release/trueroute-sidecar /usr/local/bin/trueroute-sidecar
ENTRYPOINT ["/usr/local/bin/trueroute-sidecar"]

# An app that says who it is, and the one-shot that makes certificates. Not for production.
FROM base AS demo
COPY --from=build /src/target/release/examples/app /usr/local/bin/app
COPY --from=build /src/target/release/examples/identities /usr/local/bin/identities
COPY config/compose.yml /etc/trueroute/compose.yml
