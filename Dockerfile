# syntax=docker/dockerfile:1
# Aegis in a container: docs/container.md.

FROM debian:12-slim AS build
WORKDIR /src
COPY scripts/dependencies.sh scripts/
RUN scripts/dependencies.sh build && rm -rf /var/lib/apt/lists/*
COPY . .
RUN DESTDIR=/out make install PREFIX=/usr BUILD=/build TYPE=Release && strip /out/usr/bin/aegis

FROM debian:12-slim
LABEL org.opencontainers.image.title="Aegis" \
      org.opencontainers.image.description="Event-driven media pipeline: uploads become searchable text" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/debian:12-slim"
COPY scripts/dependencies.sh /usr/lib/aegis/
RUN /usr/lib/aegis/dependencies.sh runtime && rm -rf /var/lib/apt/lists/* /usr/lib/aegis
COPY --from=build /out/usr/ /usr/
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/aegis
ENV AEGIS_DATA=/var/lib/aegis \
    AEGIS_METRICS_LISTEN=127.0.0.1:9464 \
    CREDENTIALS_DIRECTORY=/run/secrets
VOLUME /var/lib/aegis
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s --retries=3 CMD ["aegis", "health"]
ENTRYPOINT ["aegis"]
CMD ["serve"]
