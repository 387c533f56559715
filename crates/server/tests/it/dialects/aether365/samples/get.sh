curl https://api.aether365.io/tenants/me/notifications \
  -H "Authorization: Bearer <token>"
