# memgraph-controller: one image for controller pods and for `helm test`.
#   docker build -t memgraph-controller:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t ... .
# Nothing in it is native but what PyPI has wheels for, on both. What the second stage copies is built
# and tried without any container engine by tests/manifests/test_image.py.
FROM python:3.13-slim AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY scripts/image-tree scripts/sbom.py scripts/
COPY statemachine statemachine
COPY gateway gateway
COPY controller controller
RUN scripts/image-tree python /opt/memgraph-controller

FROM python:3.13-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="memgraph-controller" \
      org.opencontainers.image.description="Automatic failover for Memgraph Community Edition" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN rm -rf /usr/local/lib/python3.13/site-packages/pip* /usr/local/bin/pip*
COPY --from=build /opt/memgraph-controller /opt/memgraph-controller
ENV PATH=/opt/memgraph-controller/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 7687 7688 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os,urllib.request as u; u.urlopen('http://127.0.0.1:'+os.environ.get('HTTP_PORT','8080')+'/livez', timeout=4)"]
ENTRYPOINT ["memgraph-controller"]
CMD ["run"]
