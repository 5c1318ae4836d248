# memgraph-controller: one image for controller pods and for `helm test`.
# docker build -t memgraph-controller:0.1.0 .   (linux/amd64 and linux/arm64: nothing in it is native
# but what PyPI has wheels for)
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY statemachine statemachine
COPY gateway gateway
COPY controller controller
RUN python -m venv /opt/memgraph-controller \
 && /opt/memgraph-controller/bin/pip install --no-cache-dir --no-compile -c constraints.txt . \
 && /opt/memgraph-controller/bin/pip uninstall -y pip \
 && /opt/memgraph-controller/bin/python -m compileall -q -j 0 /opt/memgraph-controller/lib

FROM python:3.13-slim
LABEL org.opencontainers.image.title="memgraph-controller" \
      org.opencontainers.image.description="Automatic failover for Memgraph Community Edition" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN rm -rf /usr/local/lib/python3.13/site-packages/pip* /usr/local/bin/pip*
COPY --from=build /opt/memgraph-controller /opt/memgraph-controller
ENV PATH=/opt/memgraph-controller/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 7687 7688 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os,urllib.request as u; u.urlopen('http://127.0.0.1:'+os.environ.get('HTTP_PORT','8080')+'/livez', timeout=4)"]
ENTRYPOINT ["memgraph-controller"]
CMD ["run"]
